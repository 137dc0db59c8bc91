"""The inbox: the one place where notifications are stored, and where what became of them is looked up."""

import asyncio
from collections.abc import Sequence

from common.errors import IdReused, Unavailable
from common.integration_inbox import DECISIONS, INBOX, KEPT_DAYS, InboxRow, inbox_row
from common.log import get_logger
from common.mongo.client import Database, Document
from common.mongo.indexes import IndexSpec
from gateway.integration.group_insert import GroupInsert

log = get_logger()

_LOOK_EVERY_S = 0.05
_STORED_WITHIN_S = 1.0
"""A slow first answer counts against the webhook as a refused one does; a refused one comes again."""

INDEXES = (
    IndexSpec(
        collection=INBOX,
        keys=(("received_at", 1),),
        why="the inbox is swept in the order of arrival; what is old goes",
        expire_after_s=KEPT_DAYS * 86_400,
    ),
    IndexSpec(
        collection=INBOX,
        keys=(("to_publish", 1), ("received_at", 1)),
        why="what is not on the queue yet, the oldest first",
        only={"to_publish": True},
    ),
)


class Inbox:
    def __init__(self, db: Database) -> None:
        self._inbox = db[INBOX]
        self._decisions = db[DECISIONS]
        self._group = GroupInsert(self._inbox)
        self._arrived = asyncio.Event()

    async def add(self, row: InboxRow) -> None:
        """Store a notification; when this returns, it is safe. The same one again is only counted.

        Raises IdReused when its sender used the id for something else before, Unavailable when the
        database does not answer while the sender still listens.
        """
        try:
            async with asyncio.timeout(_STORED_WITHIN_S):
                await self._store(row)
        except TimeoutError:
            raise Unavailable from None
        self._arrived.set()

    async def _store(self, row: InboxRow) -> None:
        if not await self._group.insert(row.document()):
            await self._add_copy(row)

    async def _add_copy(self, row: InboxRow) -> None:
        await self._inbox.update_one({"_id": row.id}, {"$inc": {"copies": 1}})
        document = await self._inbox.find_one({"_id": row.id})
        if row.channel == "tokens" and document is not None:
            known = inbox_row(document)
            if (known.user_ref, known.quota_text) != (row.user_ref, row.quota_text):
                raise IdReused

    async def arrival(self, *, timeout_s: float) -> None:
        """Wait until something was stored, at most so long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return
        self._arrived.clear()

    async def to_publish(self, *, rows_max: int) -> list[InboxRow]:
        """Return what is not on the queue yet, the oldest first. A row that nobody can read is put aside."""
        found = self._inbox.find({"to_publish": True}).sort("received_at", 1).limit(rows_max)
        rows: list[InboxRow] = []
        async for document in found:
            try:
                rows.append(inbox_row(document))
            except KeyError:
                log.exception("inbox_row_unreadable", id=document["_id"])
                await self.published([document["_id"]])
        return rows

    async def published(self, row_ids: Sequence[str]) -> None:
        await self._inbox.update_many({"_id": {"$in": list(row_ids)}}, {"$set": {"to_publish": False}})

    async def decision(self, row_id: str, *, within_s: float) -> Document | None:
        """Return what became of a row; None if nothing is decided in time."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while True:
            decision = await self._decisions.find_one({"_id": row_id})
            if decision is not None or loop.time() >= deadline_s:
                return decision
            await asyncio.sleep(_LOOK_EVERY_S)
