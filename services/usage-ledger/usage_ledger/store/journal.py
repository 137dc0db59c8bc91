"""The one writer of balances: stores postings with all that follows from them, or nothing."""

from collections.abc import Sequence

from pymongo import InsertOne, UpdateOne

from common.clock import Clock
from common.crash_points import CrashPoints
from common.ids import new_id
from common.mongo.client import Database, Document, Session
from common.mongo.outbox import Outbox
from common.usage_rollup import INCREMENTS, TRANSACTIONS
from usage_ledger.domain.account import Posting, Terms
from usage_ledger.domain.rollup import increments
from usage_ledger.domain.view import balance_changed
from usage_ledger.store.conflicts import Outdated
from usage_ledger.store.documents import account_document, row_document, update_of
from usage_ledger.store.writer import Writer

ACCOUNTS = "accounts"
OUTBOX = "ledger_outbox"


class Journal:
    """Stores accounts, rows, what the rows add to the rollups, and events, in one database transaction."""

    def __init__(
        self,
        db: Database,
        writer: Writer,
        outbox: Outbox,
        clock: Clock,
        *,
        terms: Terms,
        crash_points: CrashPoints,
    ) -> None:
        self._db = db
        self._writer = writer
        self._outbox = outbox
        self._clock = clock
        self._terms = terms
        self._crash_points = crash_points

    async def commit(self, postings: Sequence[Posting]) -> None:
        """Store the postings. Raises Outdated when an account moved since it was read.

        What is needed was read before, so that the transaction only writes, and the accounts first: a
        hold that comes meanwhile then waits for a moment instead of undoing the whole batch.
        """
        if not postings:
            return
        async with self._writer.transaction() as session:
            await self._write(postings, session)
            self._reach("ledger.before_commit", postings)
        self._reach("ledger.after_commit", postings)
        self._outbox.wake()

    def _reach(self, place: str, postings: Sequence[Posting]) -> None:
        """Settlements have crash points: they are what comes again after a crash by itself."""
        if any(row.kind == "usage" for posting in postings for row in posting.rows):
            self._crash_points.reach(place)

    async def _write(self, postings: Sequence[Posting], session: Session) -> None:
        await self._write_accounts(postings, session)
        rows = [row for posting in postings for row in posting.rows]
        if not rows:
            return
        await self._db[TRANSACTIONS].insert_many([row_document(row) for row in rows], session=session)
        if parts := increments(rows):
            increment = {"_id": new_id("e"), "at": rows[0].at, "parts": parts}
            await self._db[INCREMENTS].insert_one(increment, session=session)
        now = self._clock.now()
        events = [
            balance_changed(posting, self._terms, event_id=new_id("e"), now=now)
            for posting in postings
            if posting.rows
        ]
        await self._db[OUTBOX].insert_many(self._outbox.rows(events), session=session)

    async def _write_accounts(self, postings: Sequence[Posting], session: Session) -> None:
        writes: list[InsertOne[Document] | UpdateOne] = []
        for posting in postings:
            if posting.before is None:
                writes.append(InsertOne(account_document(posting.after)))
            else:
                writes.append(UpdateOne(*update_of(posting.before, posting.after)))
        result = await self._db[ACCOUNTS].bulk_write(writes, session=session)
        if result.matched_count + result.inserted_count != len(writes):
            raise Outdated
