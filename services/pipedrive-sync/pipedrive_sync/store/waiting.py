"""What could not be applied: one row for each person or user, the newest that was said about them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from pymongo.errors import DuplicateKeyError

from common.clock import Clock
from common.integration_inbox import WAITING
from common.mongo.client import Database, Document
from pipedrive_sync.domain.notice import QuotaNotice, Version, shown

_RETRIED_AFTER = {"unconfirmed": timedelta(minutes=1), "unknown_person": timedelta(minutes=15)}
"""What may settle itself is tried again; all else waits for an operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRow:
    key: str
    why: str
    notice: QuotaNotice


class Waiting:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._waiting = db[WAITING]
        self._clock = clock

    async def put(self, notice: QuotaNotice, why: str) -> bool:
        """Keep a notice, in place of an older one of the same subject; False when a newer one waits."""
        now = self._clock.now()
        subject, place = notice.subject, notice.version
        delay = _RETRIED_AFTER.get(why)
        fields: Document = {
            "why": why,
            "notice": notice.model_dump(mode="json"),
            "person_id": subject.person_id,
            "user_ref": subject.user_ref,
            "name": subject.name,
            "value": shown(notice.wanted),
            "at": place.at,
            "actor": notice.actor,
            "reason": notice.reason,
            "version_at": place.at,
            "version_event": place.event,
            "emails": list(subject.emails),
            "retry_at": now + delay if delay else None,
            "updated_at": now,
        }
        older = {"$or": [{"version_at": {"$lt": place.at}}, _same_time_not_later(place)]}
        try:
            await self._waiting.update_one(
                {"_id": subject.key, **older}, {"$set": fields, "$setOnInsert": {"since": now}}, upsert=True
            )
        except DuplicateKeyError:
            return False
        return True

    async def get(self, key: str) -> WaitingRow | None:
        document = await self._waiting.find_one({"_id": key})
        return _row(document) if document else None

    async def settled(self, key: str, version: Version) -> None:
        """Remove what waits for a subject, unless it is newer than what was applied."""
        older = {"$or": [{"version_at": {"$lt": version.at}}, _same_time_not_later(version)]}
        await self._waiting.delete_one({"_id": key, **older})

    async def remove(self, row: WaitingRow) -> None:
        """Remove a row, unless something newer has taken its place."""
        await self._waiting.delete_one({"_id": row.key, "version_event": row.notice.version.event})

    async def due(self, *, rows_max: int) -> list[WaitingRow]:
        found = self._waiting.find({"retry_at": {"$lte": self._clock.now()}}).limit(rows_max)
        return [_row(document) async for document in found]

    async def retry_soon(self, emails: Collection[str]) -> None:
        """Have rows with one of these addresses tried again: their user has come."""
        await self._waiting.update_many(
            {"emails": {"$in": list(emails)}, "why": "unknown_person"},
            {"$set": {"retry_at": self._clock.now()}},
        )

    async def claimant(self, user_id: str, *, email: str | None) -> int | None:
        """Return the one person that asks for a user who belongs to another one; None if several do.

        Only what we read in Pipedrive counts: nobody signs what webhooks say.
        """
        by_email: list[Document] = [{"user_ref": None, "emails": email}] if email else []
        asks: Document = {
            "why": "user_of_another_person",
            "notice.source": "reading",
            "$or": [{"user_ref": user_id}, *by_email],
        }
        found = [row["person_id"] async for row in self._waiting.find(asks, {"person_id": 1}).limit(2)]
        return found[0] if len(found) == 1 else None

    async def count(self) -> int:
        return await self._waiting.count_documents({})


def _same_time_not_later(version: Version) -> Document:
    return {"version_at": version.at, "version_event": {"$lte": version.event}}


def _row(document: Document) -> WaitingRow:
    notice = QuotaNotice.model_validate(document["notice"])
    return WaitingRow(key=document["_id"], why=document["why"], notice=notice)
