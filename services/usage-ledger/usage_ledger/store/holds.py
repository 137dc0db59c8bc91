"""Finds holds whose time is up."""

from datetime import datetime

from common.log import get_logger
from common.mongo.client import Database
from usage_ledger.domain.account import Hold
from usage_ledger.store.documents import holds_of
from usage_ledger.store.journal import ACCOUNTS

log = get_logger()


class ExpiredHolds:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(self, *, now: datetime, accounts_max: int) -> list[tuple[str, Hold]]:
        """Return expired holds with their user ids, of so many accounts at most."""
        found = self._db[ACCOUNTS].find({"holds.expires_at": {"$lte": now}}, {"holds": 1}).limit(accounts_max)
        expired: list[tuple[str, Hold]] = []
        async for document in found:
            try:
                holds = holds_of(document)
            except Exception:
                # The edge: the holds of others end all the same.
                log.exception("holds_not_read", user_id=document["_id"])
                continue
            expired += [(document["_id"], hold) for hold in holds if hold.expires_at <= now]
        return expired
