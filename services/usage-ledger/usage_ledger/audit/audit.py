"""Runs the audit over the collections."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import NoneType

from common.clock import Clock
from common.mongo.client import Database, Document
from common.usage_rollup import INCREMENTS, TRANSACTIONS, USAGE_KINDS, day_start, quarter_start
from usage_ledger.audit import runs
from usage_ledger.audit.chain import GRACE, Chain, check_account, check_hold_ages, excess_after
from usage_ledger.audit.days import Days
from usage_ledger.audit.reading import Reading, Windows, ahead, reading
from usage_ledger.audit.violation import DAMAGED, Code, Violation
from usage_ledger.domain.transaction import correction_id, usage_id
from usage_ledger.store.journal import ACCOUNTS, OUTBOX
from usage_ledger.store.runs import RUNS

BATCH_MAX = 5_000
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_IDS_MAX = 100
_ACTIVE_TYPES: dict[str, tuple[type, ...]] = {
    "thread_id": (str,),
    "fence": (int,),
    "response_id": (str, NoneType),
    "text": (str, NoneType),
    "started_at": (datetime,),
    "lease_until": (datetime, NoneType),
}
_ROW_SHOWN: Document = dict.fromkeys(
    (
        *("user_id", "company", "kind", "tokens", "balance_before", "balance_after", "sequence", "at"),
        *("actor", "reason", "run_id", "attempt", "model", "usage", "estimated", "provisional"),
        *("hold_tokens", "overage", "requested", "grant_before", "grant_after"),
        *("quota_before", "quota_after", "effective_at", "source_event"),
    ),
    1,
)
_EXCESS_SHOWN: Document = dict.fromkeys(("kind", "tokens", "overage", "sequence"), 1)

Checks = list[tuple[Code, AsyncIterator[Violation]]]
Piece = tuple[datetime, list[Document], list[Document]]
"""Runs that ended in a piece of time, and the rows of it, with the time where it ends."""


@dataclass(slots=True)
class Counts:
    """How much was looked at."""

    accounts: int = 0
    rows: int = 0
    runs: int = 0
    violations: int = 0


class Audit:
    """One pass. With `account`, of that account only; with `since`, of what came from that quarter hour on.

    Rows and the ends of runs are read once, in the order of time, and after them the accounts, so that an
    account is never older than the rows that it is compared with. A few numbers for each account are in
    memory, the counters of one day, and twice `batch_max` rows and runs.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        hold_ttl: timedelta,
        account: str | None = None,
        since: datetime | None = None,
        batch_max: int = BATCH_MAX,
    ) -> None:
        self._db = db
        self._started_at = clock.now()
        self._hold_ttl = hold_ttl
        self._account = account
        self._since = quarter_start(since) if since else None
        self._batch_max = batch_max
        live_from = quarter_start(self._started_at - GRACE)
        self._days = Days(db, since=self._since, live_from=live_from)
        self._chains: dict[str, Chain] = {}
        self._pairs = runs.Pairs()
        self.counts = Counts()

    async def run(self) -> AsyncGenerator[Violation]:
        """Yield what is broken, as it is found. Raises PyMongoError when it cannot look."""
        async for violation in self._checks():
            self.counts.violations += 1
            yield violation

    async def _checks(self) -> AsyncIterator[Violation]:
        async with reading(self._db, batch_max=self._batch_max) as source:
            checks: Checks = [
                ("I2", self._check_rows(source)),
                ("I1", self._check_accounts(source)),
                ("I7", self._check_owners(source)),
                ("I6", self._check_pairs(source)),
            ]
            if self._account is None:
                checks.append(("I11", self._check_active(source)))
                checks.append(("I10", self._check_relays(source)))
            for code, check in checks:
                async for violation in _to_its_end(code, check):
                    yield violation
        if self._account is None:
            async for violation in _to_its_end("I12", self._days.compare_live()):
                yield violation

    async def _check_rows(self, source: Reading) -> AsyncIterator[Violation]:
        if self._account is not None:
            rows = await source.find(TRANSACTIONS, {"user_id": self._account}, _ROW_SHOWN)
            for row in sorted(rows, key=_sequence_of):
                for violation in self._add_row(row):
                    yield violation
            return
        async for until, ended, rows in ahead(self._pieces(source)):
            self.counts.runs += len(ended)
            for run in ended:
                self._pairs.add_run(run)
            # Rows of the same moment come in any order, and the clocks of two ledgers differ.
            for row in sorted(rows, key=_sequence_of):
                for violation in self._add_row(row):
                    yield violation
            # Whoever shares this process has a turn.
            await asyncio.sleep(0)
            async for violation in _to_its_end("I12", self._days.compare(until)):
                yield violation

    async def _pieces(self, source: Reading) -> AsyncIterator[Piece]:
        start = self._since or await self._first()
        self._days.start(start)
        # The clocks of other ledgers may be ahead of this one.
        end = max(start, self._started_at + GRACE)
        windows = Windows(start, end, batch_max=self._batch_max)
        async with reading(self._db, batch_max=self._batch_max) as source_of_runs:
            while piece := windows.next():
                limit = windows.limit
                ended, rows = await asyncio.gather(
                    source_of_runs.find(RUNS, {"finished_at": piece}, runs.RUN_SHOWN, limit=limit),
                    source.find(TRANSACTIONS, {"at": piece}, _ROW_SHOWN, limit=limit),
                )
                if windows.took(max(len(rows), len(ended))):
                    yield windows.at, ended, rows
        yield end, [], await source.find(TRANSACTIONS, {"at": {"$gte": end}}, _ROW_SHOWN)

    async def _first(self) -> datetime:
        """Return the day from which on there are rows, or rollups."""
        day = await self._days.first() or day_start(self._started_at)
        earlier = {"at": {"$lt": day}}
        row = await self._db[TRANSACTIONS].find_one(earlier, {"at": 1}, sort=[("at", 1)])
        return day_start(row["at"]) if row else day

    def _add_row(self, row: Document) -> Iterable[Violation]:
        """Check a row. One that cannot be read is a violation, and keeps no other from being checked."""
        self.counts.rows += 1
        try:
            self._days.add(row)
            return self._follow(row)
        except DAMAGED as error:
            return (_unreadable("I2", "row", row, error),)

    def _follow(self, row: Document) -> list[Violation]:
        user_id = row["user_id"]
        chain = self._chains.get(user_id)
        if chain is None:
            chain = self._chains[user_id] = Chain(user_id, from_start=self._since is None)
        found = list(chain.add(row))
        if row["kind"] in USAGE_KINDS:
            found += self._pairs.add_row(row)
        return found

    async def _check_accounts(self, source: Reading) -> AsyncIterator[Violation]:
        async for account in self._accounts(source):
            self.counts.accounts += 1
            chain = self._chains.pop(account["_id"], None)
            try:
                async for violation in self._check_account(source, account, chain):
                    yield violation
            except DAMAGED as error:
                yield _unreadable("I1", "account", account, error)

    async def _check_account(
        self, source: Reading, account: Document, chain: Chain | None
    ) -> AsyncIterator[Violation]:
        for violation in check_account(account):
            yield violation
        if account["holds"]:
            async for violation in self._check_holds(source, account):
                yield violation
        if chain is None and self._since is None:
            chain = Chain(account["_id"], from_start=True)
        if chain is not None:
            async for violation in self._check_end(source, account, chain):
                yield violation

    async def _accounts(self, source: Reading) -> AsyncIterator[Document]:
        if self._account is not None:
            for account in await source.find(ACCOUNTS, {"_id": self._account}):
                yield account
        elif self._since is None:
            async for account in source.each(ACCOUNTS, {}):
                yield account
        else:
            seen = set(self._chains)
            async for account in source.by_id(ACCOUNTS, sorted(seen)):
                yield account
            async for account in source.each(ACCOUNTS, {"holds.expires_at": {"$gt": _LONG_AGO}}):
                if account["_id"] not in seen:
                    yield account

    async def _check_end(self, source: Reading, account: Document, chain: Chain) -> AsyncIterator[Violation]:
        if chain.sequence is not None and account["sequence"] > chain.sequence:
            # What was booked since the rows were read, or came late.
            between = {"$gt": chain.sequence, "$lte": account["sequence"]}
            wanted = {"user_id": account["_id"], "sequence": between}
            rows = await source.find(TRANSACTIONS, wanted, _ROW_SHOWN)
            self.counts.rows += len(rows)
            for violation in chain.add_late(rows, account):
                yield violation
            for row in rows:
                if row["kind"] in USAGE_KINDS:
                    for violation in self._pairs.add_row(row):
                        yield violation
        for violation in chain.end(account):
            yield violation
        excess = chain.excess
        if self._since is not None and account["available"] < -excess:
            excess = 0
            rows = await source.find(TRANSACTIONS, {"user_id": account["_id"]}, _EXCESS_SHOWN)
            for row in sorted(rows, key=lambda row: row["sequence"]):
                excess = excess_after(excess, row)
        if account["available"] < -excess:
            what = f"{account['available']} are available, of which {excess} are explained"
            yield Violation(code="I3", what=what, ids={"account": account["_id"]})

    async def _check_holds(self, source: Reading, account: Document) -> AsyncIterator[Violation]:
        for violation in check_hold_ages(account, hold_ttl=self._hold_ttl, now=self._started_at):
            yield violation
        usage_ids = [usage_id(hold["run_id"]) for hold in account["holds"]]
        async for row in source.by_id(TRANSACTIONS, usage_ids):
            # The settlement may have come after the account was read, so it is asked once more.
            open_still = {"_id": account["_id"], "holds.run_id": row["run_id"]}
            if await self._db[ACCOUNTS].find_one(open_still, {"_id": 1}):
                ids = {"account": account["_id"], "run": row["run_id"]}
                yield Violation(code="I8", what="the run is settled and still has a hold", ids=ids)

    async def _check_owners(self, _source: Reading) -> AsyncIterator[Violation]:
        """Whoever has rows and no account; accounts are never deleted."""
        for user_id in self._chains:
            if await self._db[ACCOUNTS].find_one({"_id": user_id}, {"_id": 1}) is None:
                yield Violation(code="I7", what="rows without an account", ids={"account": user_id})

    async def _check_pairs(self, source: Reading) -> AsyncIterator[Violation]:
        """Runs that did not meet their row, and those with more rows than one."""
        left = self._pairs.left()
        for start in range(0, len(left), _IDS_MAX):
            run_ids = left[start : start + _IDS_MAX]
            row_ids = [name(run_id) for run_id in run_ids for name in (usage_id, correction_id)]
            # Before the runs: a run is never stored after its row.
            rows = {row["_id"]: row async for row in source.by_id(TRANSACTIONS, row_ids)}
            found = {run["_id"]: run async for run in source.by_id(RUNS, run_ids, runs.RUN_SHOWN)}
            for run_id in run_ids:
                row, correction = rows.get(usage_id(run_id)), rows.get(correction_id(run_id))
                settled_until = self._started_at - GRACE
                try:
                    for violation in runs.check_run(
                        run_id, found.get(run_id), row, correction, settled_until=settled_until
                    ):
                        yield violation
                except DAMAGED as error:
                    yield _unreadable("I6", "run", {"_id": run_id}, error)

    async def _check_active(self, _source: Reading) -> AsyncIterator[Violation]:
        """What goes on is read anew: of two runs in a thread, one may have ended when the other began."""
        active = self._db[RUNS].find({"state": runs.ACTIVE}, dict.fromkeys(_ACTIVE_TYPES, 1))
        going_on: list[Document] = []
        async for run in active.batch_size(self._batch_max):
            wrong = [name for name, types in _ACTIVE_TYPES.items() if not isinstance(run.get(name), types)]
            if wrong:
                yield _unreadable("I6", "run", run, TypeError(*wrong))
            else:
                going_on.append(run)
        row_ids = [usage_id(run["_id"]) for run in going_on]
        async with reading(self._db, batch_max=self._batch_max) as source:
            settled = {row["run_id"] async for row in source.by_id(TRANSACTIONS, row_ids, {"run_id": 1})}
            abandoned_before = self._started_at - 2 * self._hold_ttl - 2 * GRACE
            for violation in runs.check_active(going_on, settled, abandoned_before=abandoned_before):
                run_ids = list(violation.ids.values())
                still = await source.find(RUNS, {"_id": {"$in": run_ids}, "state": runs.ACTIVE}, {"_id": 1})
                if len(still) == len(run_ids):
                    yield violation

    async def _check_relays(self, _source: Reading) -> AsyncIterator[Violation]:
        before = self._started_at - GRACE
        for name, what in ((OUTBOX, "an event is not published"), (INCREMENTS, "an increment is not folded")):
            oldest = await self._db[name].find_one({"at": {"$lt": before}}, {"_id": 1})
            if oldest is not None:
                yield Violation(code="I10", what=what, ids={name: oldest["_id"]})


async def _to_its_end(code: Code, check: AsyncIterator[Violation]) -> AsyncIterator[Violation]:
    """What keeps a check from its end is a violation, and keeps no other check from its own."""
    try:
        async for violation in check:
            yield violation
    except DAMAGED as error:
        yield Violation(code=code, what=f"not checked to the end: {type(error).__name__} {error}", ids={})


def _sequence_of(row: Document) -> int:
    sequence = row.get("sequence")
    return sequence if isinstance(sequence, int) else 0


def _unreadable(code: Code, what: str, document: Document, error: Exception) -> Violation:
    ids = {what: str(document["_id"])}
    return Violation(code=code, what=f"the {what} cannot be read: {type(error).__name__} {error}", ids=ids)
