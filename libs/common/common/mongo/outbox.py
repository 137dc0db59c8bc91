"""Events that are stored in the transaction that causes them, and published after it.

A row is deleted once the broker has confirmed its event. A crash in between publishes it again, under
the same event id. A row that cannot be read, which a newer version may have written, waits for a minute
and keeps no other one waiting.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo.errors import PyMongoError

from common.amqp.publisher import Publisher
from common.clock import Clock
from common.errors import Unavailable
from common.events.envelope import Event
from common.log import get_logger
from common.metrics import OUTBOX_OLDEST_S
from common.mongo.client import Collection, Document

log = get_logger()

_BATCH_MAX = 200
_IDLE_POLL_S = 1.0
_PAUSE_AFTER_FAILURE_S = 1.0
_UNREADABLE_WAITS = timedelta(minutes=1)


class Outbox:
    """Relays the rows of one collection to the queue, in the order of their ids."""

    def __init__(
        self, collection: Collection, publisher: Publisher, clock: Clock, *, events: Sequence[type[Event]]
    ) -> None:
        self._collection = collection
        self._publisher = publisher
        self._clock = clock
        self._types = {event.routing_key(): event for event in events}
        self._awake = asyncio.Event()

    def rows(self, events: Sequence[Event]) -> list[Document]:
        """Make the rows to insert in the caller's transaction."""
        return [
            {
                "_id": event.event_id,
                "type": event.routing_key(),
                "body": event.model_dump(mode="json"),
                "at": self._clock.now(),
            }
            for event in events
        ]

    def wake(self) -> None:
        """Say that a transaction with rows was committed, so that they need not wait for the next poll."""
        self._awake.set()

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            self._awake.clear()
            try:
                sent = await self._relay()
            except (Unavailable, PyMongoError) as error:
                log.warning("outbox_stalled", collection=self._collection.name, error=type(error).__name__)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
                continue
            except Exception:
                # The edge: nobody else relays what this process stores.
                log.exception("outbox_stalled", collection=self._collection.name)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
                continue
            if sent == _BATCH_MAX:
                continue
            try:
                async with asyncio.timeout(_IDLE_POLL_S):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def _relay(self) -> int:
        now = self._clock.now()
        due = {"$or": [{"again_at": None}, {"again_at": {"$lte": now}}]}
        rows = await self._collection.find(due).sort("_id", 1).limit(_BATCH_MAX).to_list(_BATCH_MAX)
        ages_s = [(now - row["at"]).total_seconds() for row in rows if isinstance(row.get("at"), datetime)]
        OUTBOX_OLDEST_S.set(max(ages_s, default=0.0))
        events = {row["_id"]: event for row in rows if (event := self._event_of(row))}
        unreadable = [row["_id"] for row in rows if row["_id"] not in events]
        if unreadable:
            await self._collection.update_many(
                {"_id": {"$in": unreadable}}, {"$set": {"again_at": now + _UNREADABLE_WAITS}}
            )
        results = await asyncio.gather(*map(self._publisher.publish, events.values()), return_exceptions=True)
        sent = [row_id for row_id, result in zip(events, results, strict=True) if result is None]
        if sent:
            await self._collection.delete_many({"_id": {"$in": sent}})
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(rows)

    def _event_of(self, row: Document) -> Event | None:
        try:
            return self._types[row["type"]].model_validate(row["body"])
        except (KeyError, TypeError, ValueError) as error:
            log.warning(
                "outbox_row_unreadable",
                collection=self._collection.name,
                event_id=row["_id"],
                error=type(error).__name__,
            )
            return None
