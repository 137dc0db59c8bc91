"""Server-sent events: the bytes on the wire, and the response that sends them."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import orjson
from fastapi import Response
from pymongo.errors import PyMongoError
from starlette.types import Receive, Scope, Send

from common.errors import Malformed
from common.log import get_logger
from common.run_stream import RunEvent
from gateway.streaming.follower import Follower
from gateway.streaming.stored_runs import StoredRuns

log = get_logger()

COMMENT = b":\n\n"
_RETRY_MS = 1000
_PART_BYTES = 32 * 1024
_EVENT_ID = re.compile(r"(r_[0-9a-f]{32}):([0-9]{1,12})")


def event_bytes(run_id: bytes, event: RunEvent) -> bytes:
    """Write one event. Its data is JSON on one line, so no text can end the line or forge a field."""
    return b"id: %b:%d\nevent: %b\ndata: %b\n\n" % (run_id, event.sequence, event.kind.encode(), event.data)


def opening_bytes(run_id: bytes, after_sequence: int) -> bytes:
    """Name the run before its first event.

    A browser that loses the connection right then sends this id with its next try, and so resumes the run
    where it would else send the message again.
    """
    return b"retry: %d\nid: %b:%d\n\n" % (_RETRY_MS, run_id, after_sequence)


def parse_event_id(value: str) -> tuple[str, int]:
    """Split `<run id>:<sequence>`. Raises Malformed."""
    match = _EVENT_ID.fullmatch(value)
    if match is None:
        raise Malformed("Last-Event-ID is not one of ours")
    return match[1], int(match[2])


class EventStream(Response):
    """Sends what a follower yields until `done`, or until the client leaves.

    `held` is released when the response ends, whichever way: the stream's slot, for one.
    """

    media_type = "text/event-stream"

    def __init__(self, follower: Follower, stored: StoredRuns, *, held: AsyncExitStack) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._follower = follower
        self._stored = stored
        self._held = held

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            with self._follower as follower:
                leaving = asyncio.create_task(_close_when_left(receive, follower))
                try:
                    await self._send(send)
                finally:
                    leaving.cancel()

    async def _send(self, send: Send) -> None:
        run_id = self._follower.run_id.encode()
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        await send(_body(opening_bytes(run_id, self._follower.sequence)))
        async for events in self._follower:
            async for part in self._parts(run_id, events):
                await send(_body(part))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _parts(self, run_id: bytes, events: Sequence[RunEvent]) -> AsyncIterator[bytes]:
        """Write events together, but no more at once than may wait for a client that reads slowly."""
        part = bytearray() if events else bytearray(COMMENT)
        for event in events:
            part += event_bytes(run_id, await self._with_balance(event) if event.kind == "usage" else event)
            if len(part) >= _PART_BYTES:
                yield bytes(part)
                part.clear()
        if part:
            yield bytes(part)

    async def _with_balance(self, event: RunEvent) -> RunEvent:
        forecast = None
        try:
            forecast = await self._stored.forecast_of(self._follower.user_id)
        except PyMongoError as error:
            log.warning("balance_not_read", run_id=self._follower.run_id, error=type(error).__name__)
        usage = orjson.loads(event.data)
        usage["token_balance"] = forecast and forecast.token_balance
        usage["token_sequence"] = forecast and forecast.token_sequence
        return RunEvent(fence=event.fence, sequence=event.sequence, kind=event.kind, data=orjson.dumps(usage))


def _body(data: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": True}


async def _close_when_left(receive: Receive, follower: Follower) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            follower.close()
            return
