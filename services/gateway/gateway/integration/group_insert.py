"""Stores documents that arrive together in one write: a bulk edit in the CRM is hundreds of posts at once."""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from pymongo.errors import BulkWriteError

from common.mongo.client import Collection, Document

_BATCH_MAX = 200
_DUPLICATE_KEY = 11000


@dataclass(frozen=True, slots=True)
class _Waiting:
    document: Document
    is_new: asyncio.Future[bool]


class GroupInsert:
    """What arrives while a write is under way is the next write; a single document is written at once."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._waiting: list[_Waiting] = []
        self._work: asyncio.Task[None] | None = None

    async def insert(self, document: Document) -> bool:
        """Store a document; False when its id is taken. Raises PyMongoError; its outcome is then unknown."""
        waiting = _Waiting(document, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._write_all())
        return await asyncio.shield(waiting.is_new)

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH_MAX], self._waiting[_BATCH_MAX:]
            try:
                failed = await self._write([waiting.document for waiting in batch])
            except Exception as error:  # noqa: BLE001 - whoever waits gets the failure
                for waiting in batch:
                    waiting.is_new.set_exception(error)
                    # Nobody may be waiting any more.
                    waiting.is_new.exception()
                continue
            for number, waiting in enumerate(batch):
                waiting.is_new.set_result(number not in failed)

    async def _write(self, documents: list[Document]) -> set[int]:
        """Store what is new; return the places of those whose id is taken."""
        try:
            await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            details = cast(dict[str, Any], error.details)
            problems: list[dict[str, Any]] = details["writeErrors"]
            if details.get("writeConcernErrors") or any(p["code"] != _DUPLICATE_KEY for p in problems):
                raise
            return {problem["index"] for problem in problems}
        return set()
