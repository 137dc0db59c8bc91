"""Accounts and usage, as the ledger keeps them. Only read here."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from common.mongo.client import Database, Document
from common.usage_rollup import TRANSACTIONS
from pipedrive_sync.domain.decide import InForce
from pipedrive_sync.domain.notice import Version

ACCOUNTS = "accounts"

_FIELDS = ("balance", "sequence", "quota", "quota_at", "quota_event", "email_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """`quota_at` and `quota_event` are None as long as no quota was set."""

    user_id: str
    balance: int
    sequence: int
    quota: int | None
    quota_at: datetime | None = None
    quota_event: str | None = None
    email_key: str | None = None

    @property
    def in_force(self) -> InForce:
        if self.quota_at is None or self.quota_event is None:
            return InForce(quota=self.quota)
        return InForce(quota=self.quota, version=Version(at=self.quota_at, event=self.quota_event))


class Accounts:
    def __init__(self, db: Database) -> None:
        self._accounts = db[ACCOUNTS]
        self._transactions = db[TRANSACTIONS]

    async def find(self, user_ids: Collection[str]) -> dict[str, AccountRow]:
        found = self._accounts.find({"_id": {"$in": list(user_ids)}}, dict.fromkeys(_FIELDS, 1))
        return {document["_id"]: _account(document) async for document in found}

    async def in_force(self, user_id: str) -> InForce:
        account = (await self.find([user_id])).get(user_id)
        return account.in_force if account else InForce()

    async def users_by_email(self, emails: Collection[str]) -> set[str]:
        if not emails:
            return set()
        found = self._accounts.find({"email_key": {"$in": list(emails)}}, {"_id": 1})
        return {document["_id"] async for document in found}

    async def used(self, user_id: str, *, after: int, through: int) -> int:
        """Add up what was used in the rows of an account with these sequences: `after` < n <= `through`."""
        rows = self._transactions.find(
            {"user_id": user_id, "sequence": {"$gt": after, "$lte": through}}, {"kind": 1, "tokens": 1}
        )
        return -sum([row["tokens"] async for row in rows if row["kind"] in {"usage", "correction"}])


def _account(document: Document) -> AccountRow:
    return AccountRow(
        user_id=document["_id"],
        balance=document["balance"],
        sequence=document["sequence"],
        quota=document.get("quota"),
        quota_at=document.get("quota_at"),
        quota_event=document.get("quota_event"),
        email_key=document.get("email_key"),
    )
