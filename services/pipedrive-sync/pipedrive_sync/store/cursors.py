"""Small things that must survive a restart: where scans stand, field keys, tokens spent, a pause."""

from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from common.mongo.client import Database

CURSORS = "crm_cursors"


class Cursors:
    def __init__(self, db: Database) -> None:
        self._cursors = db[CURSORS]

    async def read(self, name: str) -> dict[str, Any]:
        """Return what is kept under a name, without its id; empty if nothing is."""
        document = await self._cursors.find_one({"_id": name}) or {}
        return {key: value for key, value in document.items() if key != "_id"}

    async def write(self, name: str, values: dict[str, Any]) -> None:
        await self._cursors.update_one({"_id": name}, {"$set": values}, upsert=True)

    async def time(self, name: str) -> datetime | None:
        return (await self.read(name)).get("at")

    async def set_time(self, name: str, at: datetime) -> None:
        await self.write(name, {"at": at})

    async def spend(self, day: str, tokens: int, *, allowance: int) -> bool:
        """Count tokens of a day before they are spent; False, and nothing, if that is beyond the allowance.

        This one write decides, so that no number of processes together spends more.
        """
        name = f"budget:{day}"
        if tokens > allowance:
            return False
        within: dict[str, Any] = {"_id": name, "spent": {"$lte": allowance - tokens}}
        added = {"$inc": {"spent": tokens}}
        if (await self._cursors.update_one(within, added)).matched_count == 1:
            return True
        try:
            await self._cursors.insert_one({"_id": name, "spent": tokens})
        except DuplicateKeyError:
            # The day has begun already, perhaps this very moment: then there may still be room.
            return (await self._cursors.update_one(within, added)).matched_count == 1
        return True

    async def refund(self, day: str, tokens: int) -> None:
        """Take back what was counted for a call that never reached Pipedrive."""
        await self._cursors.update_one({"_id": f"budget:{day}"}, {"$inc": {"spent": -tokens}})

    async def spent(self, day: str) -> int:
        return int((await self.read(f"budget:{day}")).get("spent", 0))
