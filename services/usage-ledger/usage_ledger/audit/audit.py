"""Runs the audit over the collections."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from common.clock import Clock
from common.mongo.client import Database, Document
from common.usage_rollup import INCREMENTS, TRANSACTIONS, USAGE_KINDS
from usage_ledger.audit.chain import Chain, check_hold_ages
from usage_ledger.audit.days import Days
from usage_ledger.audit.violation import Violation
from usage_ledger.domain.transaction import correction_id, usage_id
from usage_ledger.store.holds import RUNS
from usage_ledger.store.journal import ACCOUNTS, OUTBOX

_GRACE = timedelta(seconds=60)
_BATCH = 500
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_FIGURES = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


@dataclass(slots=True)
class Counts:
    """How much was looked at."""

    accounts: int = 0
    rows: int = 0
    runs: int = 0
    violations: int = 0


class Audit:
    """One pass. With `account`, of that account only; with `since` (a UTC midnight), of what came after."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        hold_ttl: timedelta,
        account: str | None = None,
        since: datetime | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._hold_ttl = hold_ttl
        self._account = account
        self._since = since
        self._days = Days(db)
        self.counts = Counts()

    async def run(self) -> AsyncIterator[Violation]:
        """Yield what is broken, as it is found. Raises PyMongoError when it cannot look."""
        async for violation in self._checks():
            self.counts.violations += 1
            yield violation

    async def _checks(self) -> AsyncIterator[Violation]:
        if self._account is None:
            await self._days.start(self._since)
        async for account in self._accounts():
            self.counts.accounts += 1
            async for violation in self._check_account(account):
                yield violation
        async for violation in self._check_holds():
            yield violation
        if self._account is not None:
            return
        async for violation in self._check_owners():
            yield violation
        async for violation in self._check_runs():
            yield violation
        for violation in await self._days.compare():
            yield violation
        async for violation in self._check_relays():
            yield violation

    async def _accounts(self) -> AsyncIterator[Document]:
        accounts = self._db[ACCOUNTS]
        if self._since is None:
            # Small batches: a cursor that is not asked for ten minutes is gone.
            everyone = accounts.find({"_id": self._account} if self._account else {}).batch_size(_BATCH)
            async for account in everyone:
                yield account
            return
        async for user_ids in self._users_with_rows():
            async for account in accounts.find({"_id": {"$in": user_ids}}):
                yield account

    async def _check_account(self, account: Document) -> AsyncIterator[Violation]:
        rows = {"user_id": account["_id"], "sequence": {"$lte": account["sequence"]}}
        if self._since is not None:
            rows["at"] = {"$gte": self._since}
        chain = Chain(account, from_start=self._since is None)
        run_ids: list[str] = []
        async for row in self._db[TRANSACTIONS].find(rows).sort("sequence", 1):
            self.counts.rows += 1
            for violation in chain.follow(row):
                yield violation
            self._days.add(row)
            if row["kind"] not in USAGE_KINDS:
                continue
            run_ids.append(row["run_id"])
            if len(run_ids) == _BATCH:
                for violation in await self._without_run(run_ids):
                    yield violation
                run_ids = []
        for violation in chain.end():
            yield violation
        for violation in await self._without_run(run_ids):
            yield violation
        beyond = {"user_id": account["_id"], "sequence": {"$gt": account["sequence"]}}
        row = await self._db[TRANSACTIONS].find_one(beyond)
        if row is not None and await self._is_beyond(row):
            what = f"row {row['sequence']} is beyond the account's sequence"
            yield Violation(code="I2", what=what, ids={"account": account["_id"], "row": row["_id"]})

    async def _is_beyond(self, row: Document) -> bool:
        """Ask the account once more: the row may have come after the account was read."""
        account = await self._db[ACCOUNTS].find_one({"_id": row["user_id"]})
        return account is not None and account["sequence"] < row["sequence"]

    async def _check_holds(self) -> AsyncIterator[Violation]:
        with_holds: Document = {"holds.expires_at": {"$gt": _LONG_AGO}}
        if self._account is not None:
            with_holds["_id"] = self._account
        async for account in self._db[ACCOUNTS].find(with_holds):
            for violation in check_hold_ages(account, hold_ttl=self._hold_ttl, now=self._clock.now()):
                yield violation
            usage_ids = [usage_id(hold["run_id"]) for hold in account["holds"]]
            async for row in self._db[TRANSACTIONS].find({"_id": {"$in": usage_ids}}):
                # The settlement may have come after the account was read, so it is asked once more.
                open_still = {"_id": account["_id"], "holds.run_id": row["run_id"]}
                if await self._db[ACCOUNTS].find_one(open_still, {"_id": 1}):
                    ids = {"account": account["_id"], "run": row["run_id"]}
                    yield Violation(code="I8", what="the run is settled and still has a hold", ids=ids)

    async def _without_run(self, run_ids: list[str]) -> list[Violation]:
        if not run_ids:
            return []
        found = self._db[RUNS].find({"_id": {"$in": run_ids}}, {"_id": 1})
        known = {run["_id"] async for run in found}
        return [
            Violation(code="I7", what="usage of a run that does not exist", ids={"run": run_id})
            for run_id in run_ids
            if run_id not in known
        ]

    async def _check_owners(self) -> AsyncIterator[Violation]:
        async for user_ids in self._users_with_rows():
            found = self._db[ACCOUNTS].find({"_id": {"$in": user_ids}}, {"_id": 1})
            known = {account["_id"] async for account in found}
            for user_id in user_ids:
                if user_id not in known:
                    yield Violation(code="I7", what="rows without an account", ids={"account": user_id})

    async def _users_with_rows(self) -> AsyncIterator[list[str]]:
        stages: list[Document] = [{"$match": {"at": {"$gte": self._since}}}] if self._since else []
        stages.append({"$group": {"_id": "$user_id"}})
        user_ids: list[str] = []
        async for group in self._db[TRANSACTIONS].aggregate(stages, allowDiskUse=True):
            user_ids.append(group["_id"])
            if len(user_ids) == _BATCH:
                yield user_ids
                user_ids = []
        if user_ids:
            yield user_ids

    async def _check_runs(self) -> AsyncIterator[Violation]:
        finished_at: Document = {"$lt": self._clock.now() - _GRACE}
        if self._since is not None:
            finished_at["$gte"] = self._since
        found = self._db[RUNS].find({"finished_at": finished_at}, {"usage": 1, "state": 1})
        runs: list[Document] = []
        async for run in found:
            runs.append(run)
            if len(runs) == _BATCH:
                for violation in await self._unsettled(runs):
                    yield violation
                runs = []
        for violation in await self._unsettled(runs):
            yield violation

    async def _unsettled(self, runs: list[Document]) -> list[Violation]:
        self.counts.runs += len(runs)
        if not runs:
            return []
        usage = await self._rows([usage_id(run["_id"]) for run in runs])
        estimates = [row["run_id"] for row in usage.values() if row["provisional"]]
        corrections = await self._rows([correction_id(run_id) for run_id in estimates])
        violations: list[Violation] = []
        for run in runs:
            row = usage.get(usage_id(run["_id"]))
            correction = corrections.get(correction_id(run["_id"]), {"usage": {}})
            if row is None:
                what = "the run is finished and not settled"
            elif not _same_figures(run["usage"] or {}, row["usage"], correction["usage"]):
                what = "the run is settled with other figures than its own"
            else:
                continue
            violations.append(Violation(code="I5", what=what, ids={"run": run["_id"]}))
        return violations

    async def _rows(self, ids: list[str]) -> dict[str, Document]:
        if not ids:
            return {}
        fields = {"run_id": 1, "usage": 1, "provisional": 1}
        return {row["_id"]: row async for row in self._db[TRANSACTIONS].find({"_id": {"$in": ids}}, fields)}

    async def _check_relays(self) -> AsyncIterator[Violation]:
        before = self._clock.now() - _GRACE
        for name, what in ((OUTBOX, "an event is not published"), (INCREMENTS, "an increment is not folded")):
            oldest = await self._db[name].find_one({"at": {"$lt": before}}, {"_id": 1})
            if oldest is not None:
                yield Violation(code="I10", what=what, ids={name: oldest["_id"]})


def _same_figures(own: dict[str, int], booked: dict[str, int], correction: dict[str, int]) -> bool:
    return all(own.get(name, 0) == booked[name] + correction.get(name, 0) for name in _FIGURES)
