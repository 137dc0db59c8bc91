"""Settlements: batches of finished runs become rows, each run once."""

import asyncio
from collections.abc import Sequence

from common.clock import Clock
from common.log import get_logger
from common.metrics import LEDGER_SETTLED
from common.mongo.client import Database
from common.usage_rollup import TRANSACTIONS
from usage_ledger.domain.account import Account, Terms
from usage_ledger.domain.settlement import Decision, FinishedRun, Settled, settle
from usage_ledger.domain.transaction import correction_id, usage_id
from usage_ledger.store.conflicts import until_current
from usage_ledger.store.documents import account_of, settled_of
from usage_ledger.store.journal import ACCOUNTS, Journal

log = get_logger()


class Settlements:
    """Books usage. A run may come any number of times, from the queue and from the sweeper."""

    def __init__(self, db: Database, journal: Journal, clock: Clock, *, terms: Terms) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._terms = terms

    async def book(self, runs: Sequence[FinishedRun]) -> None:
        """Book all of the runs in one database transaction.

        Raises Malformed (figures that no run can have; nothing is booked) and Unavailable (the database is
        away; Contended: too much moves at once). Nothing is booked then, or the outcome is unknown;
        booking again is always right.
        """
        decision = await until_current(lambda: self._book(runs))
        LEDGER_SETTLED.labels(result="booked").inc(len(decision.booked))
        repeated = len(runs) - len(decision.booked) - len(decision.differing)
        LEDGER_SETTLED.labels(result="repeated").inc(repeated)
        for run_id in decision.differing:
            LEDGER_SETTLED.labels(result="differing").inc()
            log.warning("settled_with_other_figures", run_id=run_id)

    async def _book(self, runs: Sequence[FinishedRun]) -> Decision:
        accounts, settled = await asyncio.gather(
            self._accounts_of({run.user_id for run in runs}), self.settled({run.run_id for run in runs})
        )
        decision = settle(runs, accounts=accounts, settled=settled, terms=self._terms, at=self._clock.now())
        await self._journal.commit(decision.postings)
        return decision

    async def settled(self, run_ids: set[str]) -> dict[str, Settled]:
        """Return what is booked of these runs."""
        ids = [name(run_id) for run_id in run_ids for name in (usage_id, correction_id)]
        rows = {row["_id"]: row async for row in self._db[TRANSACTIONS].find({"_id": {"$in": ids}})}
        return {
            run_id: settled_of(row, corrected=correction_id(run_id) in rows)
            for run_id in run_ids
            if (row := rows.get(usage_id(run_id)))
        }

    async def _accounts_of(self, user_ids: set[str]) -> dict[str, Account]:
        found = self._db[ACCOUNTS].find({"_id": {"$in": list(user_ids)}})
        return {document["_id"]: account_of(document) async for document in found}
