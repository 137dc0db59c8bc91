"""Brings the rows of the inbox to the queue, also those that came while RabbitMQ was away."""

import asyncio

from pymongo.errors import PyMongoError

from common.errors import Unavailable
from common.events.integration import NotificationReceivedV1
from common.integration_inbox import InboxRow
from common.log import get_logger
from gateway.integration.inbox import Inbox
from gateway.publisher import EventPublisher

log = get_logger()

_BATCH_MAX = 200
_IDLE_POLL_S = 1.0
_PAUSE_AFTER_FAILURE_S = 1.0


class InboxRelay:
    """Every gateway relays; a row that two publish is one message to its reader, by its id."""

    def __init__(self, inbox: Inbox, publisher: EventPublisher) -> None:
        self._inbox = inbox
        self._publisher = publisher

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            try:
                sent = await self.relay()
            except (Unavailable, PyMongoError) as error:
                log.warning("inbox_stalled", error=type(error).__name__)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
                continue
            except Exception:
                # The edge: what nobody foresaw must not end the relay for good.
                log.exception("inbox_stalled")
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
                continue
            if sent < _BATCH_MAX:
                await self._inbox.arrival(timeout_s=_IDLE_POLL_S)

    async def relay(self) -> int:
        """Publish what waits; return how many rows that were. Raises Unavailable when some were not sent.

        The first goes alone: while the queue is away, hundreds of attempts would only keep the gateway
        from answering.
        """
        rows = await self._inbox.to_publish(rows_max=_BATCH_MAX)
        if not rows:
            return 0
        await self._publish(rows[0])
        results = await asyncio.gather(*(self._publish(row) for row in rows[1:]), return_exceptions=True)
        sent = [row.id for row, result in zip(rows[1:], results, strict=True) if result is None]
        await self._inbox.published([rows[0].id, *sent])
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(rows)

    async def _publish(self, row: InboxRow) -> None:
        """Publish a row. One that makes no message is passed: whoever sweeps the inbox decides it."""
        try:
            event = NotificationReceivedV1(event_id=row.id, occurred_at=row.received_at, channel=row.channel)
            await self._publisher.publish(event)
        except Unavailable:
            raise
        except Exception:
            # The edge: tried again, it would fail again, and keep those after it waiting.
            log.exception("inbox_row_unpublishable", id=row.id)
