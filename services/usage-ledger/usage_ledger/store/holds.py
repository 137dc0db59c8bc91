"""Finds holds whose time is up, and the runs that they belong to."""

from datetime import datetime

from common.mongo.client import Database
from usage_ledger.domain.account import Hold
from usage_ledger.domain.recovery import RunRecord
from usage_ledger.store.documents import RUN_FIELDS, account_of, run_of
from usage_ledger.store.journal import ACCOUNTS

RUNS = "runs"


class ExpiredHolds:
    """Reads for the sweeper: `accounts` of the ledger, `runs` of the worker."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(self, *, now: datetime, accounts_max: int) -> list[tuple[str, Hold]]:
        """Return expired holds with their user ids, of so many accounts at most."""
        found = self._db[ACCOUNTS].find({"holds.expires_at": {"$lte": now}}).limit(accounts_max)
        accounts = [account_of(document) async for document in found]
        return [(a.user_id, hold) for a in accounts for hold in a.holds if hold.expires_at <= now]

    async def runs(self, run_ids: list[str]) -> dict[str, RunRecord]:
        """Return the runs that a worker has claimed."""
        found = self._db[RUNS].find({"_id": {"$in": run_ids}}, dict.fromkeys(RUN_FIELDS, 1))
        return {document["_id"]: run_of(document) async for document in found}
