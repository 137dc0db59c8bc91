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
    """`user_id` is None for somebody who is not linked.

    `gone_at` says when the person was deleted or merged, `merged_into` into whom, and `left_user_id` who the
    person was until then.
    """

    person_id: int
    user_id: str | None
    gone_at: datetime | None = None
    merged_into: int | None = None
    left_user_id: str | None = None


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

    async def link(self, person_id: int, user_id: str, *, as_of: datetime | None = None) -> bool:
        """Link a person to a user; False when the user belongs to another person.

        With `as_of`, nothing is done, and False returned, when the person is gone since.
        """
        fields = {"user_id": user_id, "gone_at": None, "merged_into": None, "linked_at": self._clock.now()}
        unlinked: Document = {"_id": person_id, "user_id": {"$ne": user_id}}
        if as_of is not None:
            unlinked["$or"] = [{"gone_at": None}, {"gone_at": {"$lt": as_of}}]
        try:
            await self._people.update_one(unlinked, {"$set": fields}, upsert=True)
        except DuplicateKeyError:
            person = await self.find(person_id)
            return person is not None and person.user_id == user_id
        return True

    async def gone(self, person: Person, *, at: datetime, into: int | None) -> None:
        """Note that a person was deleted, or merged into another one; the user is free again.

        Told twice, as a finding of ours and as a webhook, the later time counts.
        """
        fields = {
            "user_id": None,
            "left_user_id": person.user_id or person.left_user_id,
            "merged_into": into,
            "confirm_at": None,
        }
        update = {"$set": fields, "$max": {"gone_at": at}}
        await self._people.update_one({"_id": person.person_id}, update, upsert=True)

    async def confirm_later(self, person_id: int, at: datetime) -> None:
        """Ask for a reading of a person at a time; asking again moves it, so that a burst is one reading."""
        await self._people.update_one({"_id": person_id}, {"$set": {"confirm_at": at}}, upsert=True)

    async def to_confirm(self, *, now: datetime, people_max: int) -> dict[int, datetime]:
        """Return people whose reading is due, the longest first, with the time for which it was asked."""
        found = self._people.find({"confirm_at": {"$lte": now}}, {"confirm_at": 1})
        found = found.sort("confirm_at", 1).limit(people_max)
        return {document["_id"]: document["confirm_at"] async for document in found}

    async def confirmed(self, person_id: int, asked_for: datetime) -> None:
        """Note that the reading was made, unless another one was asked for meanwhile."""
        await self._move(person_id, asked_for, None)

    async def not_confirmed(self, person_id: int, asked_for: datetime, *, again_at: datetime) -> None:
        """Ask for the reading once more, since it failed."""
        await self._move(person_id, asked_for, again_at)

    async def _move(self, person_id: int, asked_for: datetime, at: datetime | None) -> None:
        await self._people.update_one(
            {"_id": person_id, "confirm_at": asked_for}, {"$set": {"confirm_at": at}}
        )


def _person(document: Document) -> Person:
    return Person(
        person_id=document["_id"],
        user_id=document.get("user_id"),
        gone_at=document.get("gone_at"),
        merged_into=document.get("merged_into"),
        left_user_id=document.get("left_user_id"),
    )
