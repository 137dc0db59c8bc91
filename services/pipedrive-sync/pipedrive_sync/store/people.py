"""People in Pipedrive and the users that they are."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from common.clock import Clock
from common.mongo.client import Database, Document

PEOPLE = "crm_people"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`user_id` is None for somebody who is not linked. `gone_at` says when the person was deleted."""

    person_id: int
    user_id: str | None
    gone_at: datetime | None


class People:
    """A person has at most one user, and a user at most one person."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._people = db[PEOPLE]
        self._clock = clock

    async def find(self, person_id: int) -> Person | None:
        document = await self._people.find_one({"_id": person_id})
        return _person(document) if document else None

    async def linked(self, user_ids: Collection[str]) -> dict[str, int]:
        """Return the people that these users are linked to, by user."""
        found = self._people.find({"user_id": {"$in": list(user_ids)}}, {"user_id": 1})
        return {document["user_id"]: document["_id"] async for document in found}

    async def users_of(self, person_ids: Collection[int]) -> dict[int, str]:
        """Return the users of those of these people who are linked."""
        found = self._people.find({"_id": {"$in": list(person_ids)}}, {"user_id": 1})
        return {document["_id"]: document["user_id"] async for document in found if document.get("user_id")}

    async def all_linked(self) -> dict[int, str]:
        found = self._people.find({"user_id": {"$gt": ""}}, {"user_id": 1})
        return {document["_id"]: document["user_id"] async for document in found}

    async def link(self, person_id: int, user_id: str) -> bool:
        """Link a person to a user; False when the user belongs to another person."""
        fields = {"user_id": user_id, "gone_at": None, "linked_at": self._clock.now()}
        try:
            await self._people.update_one(
                {"_id": person_id, "user_id": {"$ne": user_id}}, {"$set": fields}, upsert=True
            )
        except DuplicateKeyError:
            person = await self.find(person_id)
            return person is not None and person.user_id == user_id
        return True

    async def gone(self, person_id: int, *, at: datetime) -> str | None:
        """Note that a person was deleted; return the user that is free again, if there was one."""
        person = await self.find(person_id)
        fields = {"user_id": None, "gone_at": at, "confirm_at": None}
        await self._people.update_one({"_id": person_id}, {"$set": fields}, upsert=True)
        return person.user_id if person else None

    async def confirm_later(self, person_id: int, at: datetime) -> None:
        """Ask for a reading of a person at a time; asking again moves it, so that a burst is one reading."""
        await self._people.update_one({"_id": person_id}, {"$set": {"confirm_at": at}}, upsert=True)

    async def to_confirm(self, *, now: datetime, people_max: int) -> dict[int, datetime]:
        """Return people whose reading is due, with the time for which it was asked."""
        found = self._people.find({"confirm_at": {"$lte": now}}, {"confirm_at": 1}).limit(people_max)
        return {document["_id"]: document["confirm_at"] async for document in found}

    async def confirmed(self, person_id: int, asked_for: datetime) -> None:
        """Note that the reading was made, unless another one was asked for meanwhile."""
        await self._people.update_one(
            {"_id": person_id, "confirm_at": asked_for}, {"$set": {"confirm_at": None}}
        )


def _person(document: Document) -> Person:
    return Person(person_id=document["_id"], user_id=document.get("user_id"), gone_at=document.get("gone_at"))
