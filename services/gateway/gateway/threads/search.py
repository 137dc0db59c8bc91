"""Finds threads by their title and by what was said in them, on either side."""

import re
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from common.errors import Unavailable
from common.mongo.client import Database
from gateway.cursors import Place
from gateway.threads.records import Thread, thread_of

SEARCHED_THREADS_MAX = 2_000
SEARCHED_WITHIN_S = 2.0
"""All that was said is read for a search: the database gives it up then."""


class ThreadSearch:
    """Lists a user's threads, newest first. A search looks into the newest `SEARCHED_THREADS_MAX`."""

    def __init__(self, db: Database, *, within_s: float = SEARCHED_WITHIN_S) -> None:
        self._within_s = within_s
        self._threads = db["threads"]
        self._messages = db["messages"]
        self._runs = db["runs"]

    async def list_threads(
        self, user_id: str, *, words: str | None, before: Place | None, limit: int
    ) -> list[Thread]:
        """Return up to `limit` threads older than `before`; with `words`, those that contain them as written.

        Upper and lower case are the same. Raises Unavailable for a search that takes too long.
        """
        query: dict[str, Any] = {"user_id": user_id, "deleted_at": None}
        conditions: list[dict[str, Any]] = []
        if words:
            # Escaped, so that no input can be a pattern, let alone a slow one.
            pattern = re.compile(re.escape(words), re.IGNORECASE)
            spoken = await self._said_in_time(user_id, pattern)
            conditions.append({"$or": [{"title": pattern}, {"_id": {"$in": spoken}}]})
        if before is not None:
            at, thread_id = before
            query["updated_at"] = {"$lte": at}
            conditions.append({"$or": [{"updated_at": {"$lt": at}}, {"_id": {"$lt": thread_id}}]})
        if conditions:
            query["$and"] = conditions
        rows = self._threads.find(query, sort=[("updated_at", -1), ("_id", -1)], limit=limit)
        return [thread_of(row) async for row in rows]

    async def _said_in_time(self, user_id: str, pattern: re.Pattern[str]) -> list[str]:
        try:
            with pymongo.timeout(self._within_s):
                return await self._threads_where_said(user_id, pattern)
        except PyMongoError as error:
            if error.timeout:
                raise Unavailable("The search took too long") from error
            raise

    async def _threads_where_said(self, user_id: str, pattern: re.Pattern[str]) -> list[str]:
        newest = self._threads.find(
            {"user_id": user_id, "deleted_at": None},
            {"_id": 1},
            sort=[("updated_at", -1), ("_id", -1)],
            limit=SEARCHED_THREADS_MAX,
        )
        thread_ids = [row["_id"] async for row in newest]
        said = {"thread_id": {"$in": thread_ids}, "user_id": user_id, "text": pattern}
        found: set[str] = set()
        for collection in (self._messages, self._runs):
            found.update(await collection.distinct("thread_id", said))
        return sorted(found)
