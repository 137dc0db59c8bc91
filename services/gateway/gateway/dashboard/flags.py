"""The inbox of flags: what users said about answers, with the exchange that they said it about."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from common.mongo.client import Database, Document
from common.mongo.indexes import IndexSpec

Place = tuple[datetime, str]

TEXT_CHARACTERS_MAX = 4_000

_EVER = datetime(2000, 1, 1, tzinfo=UTC)
_FIELDS = ("thread_id", "run_id", "user_id", "text", "flag")

INDEXES = (
    IndexSpec(
        collection="messages",
        keys=(("flag.at", -1), ("_id", -1)),
        only={"flag.at": {"$gt": _EVER}},
        why="the dashboard lists what is flagged, newest first",
    ),
)


class FlaggedExchanges:
    """Reads `messages` and `threads`, and the answers in `runs`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, *, limit: int, after: Place | None) -> list[Document]:
        """Return flagged messages, the newest flag first."""
        ever = {"$gt": _EVER}
        if after is None:
            return await self._list({"flag.at": ever}, limit)
        at, message_id = after
        page = await self._list({"flag.at": at, "_id": {"$lt": message_id}}, limit)
        if len(page) < limit:
            page += await self._list({"flag.at": {**ever, "$lt": at}}, limit - len(page))
        return page

    async def answers(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return the answers by run, cut after some length."""
        run_ids = [message["run_id"] for message in messages]
        found = self._db["runs"].find({"_id": {"$in": run_ids}}, {"text": 1})
        return {run["_id"]: (run["text"] or "")[:TEXT_CHARACTERS_MAX] async for run in found}

    async def deleted(self, messages: Sequence[Mapping[str, Any]]) -> set[str]:
        """Name the threads among those of the messages that their users have deleted."""
        thread_ids = list({message["thread_id"] for message in messages})
        found = self._db["threads"].find({"_id": {"$in": thread_ids}}, {"deleted_at": 1})
        return {thread["_id"] async for thread in found if thread["deleted_at"] is not None}

    async def _list(self, query: Document, limit: int) -> list[Document]:
        found = self._db["messages"].find(
            query, dict.fromkeys(_FIELDS, 1), sort=[("flag.at", -1), ("_id", -1)], limit=limit
        )
        return await found.to_list(limit)
