"""The inbox, which the gateway writes, and what became of each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from common.clock import Clock
from common.integration_inbox import DECISIONS, INBOX, InboxRow, inbox_row
from common.mongo.client import Database

Status = Literal["applied", "unchanged", "stale", "kept", "waiting", "ignored", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a notification. `kept`: it was read and changes nothing, by policy."""

    status: Status
    why: str
    user_id: str | None = None
    quota: int | None = None
    token_balance: int | None = None


class Inbox:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._inbox = db[INBOX]
        self._decisions = db[DECISIONS]
        self._clock = clock

    async def get(self, row_id: str) -> InboxRow | None:
        document = await self._inbox.find_one({"_id": row_id})
        return inbox_row(document) if document else None

    async def is_decided(self, row_id: str) -> bool:
        return await self._decisions.find_one({"_id": row_id}, {"_id": 1}) is not None

    async def decide(self, row_id: str, result: Result) -> None:
        """Write down what became of a row; a later decision (what waited is applied) replaces it."""
        fields = {
            "status": result.status,
            "why": result.why,
            "user_id": result.user_id,
            "quota": result.quota,
            "token_balance": result.token_balance,
            "at": self._clock.now(),
        }
        await self._decisions.update_one({"_id": row_id}, {"$set": fields}, upsert=True)

    async def received(
        self, *, after: datetime, until: datetime, rows_max: int
    ) -> list[tuple[InboxRow, bool]]:
        """Return rows in the order of their arrival, each with whether it is decided."""
        found = self._inbox.find({"received_at": {"$gte": after, "$lte": until}})
        rows = [inbox_row(d) async for d in found.sort([("received_at", 1), ("_id", 1)]).limit(rows_max)]
        decided = await self._decided([row.id for row in rows])
        return [(row, row.id in decided) for row in rows]

    async def _decided(self, row_ids: Sequence[str]) -> set[str]:
        found = self._decisions.find({"_id": {"$in": list(row_ids)}}, {"_id": 1})
        return {document["_id"] async for document in found}
