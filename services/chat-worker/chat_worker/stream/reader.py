"""What an earlier attempt has already shown to readers: read before a run is taken over."""

from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.log import get_logger
from common.run_stream import RunEvent, event_of, from_entry, stream_key

log = get_logger()

_UNREAD_MAX = 10_000
"""More events than an attempt can have written since its run was last stored: one a tick, for minutes."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a run has so far: its text, how much of that the stream holds, and the last sequence taken.

    What the stream lacks has to be written to it again, or its readers could not place what follows.
    """

    text: str
    streamed: int
    sequence: int


async def take_over_stream(
    redis: Redis, run_id: str, *, fence: int, text: str, sequence: int, opening: dict[str, object]
) -> Shown:
    """Fence the stream off and return what it holds; `text` and `sequence` are what was stored of the run.

    The opening event goes first: once it stands, no older attempt can append any more, so what is read
    after it is final. A stream that cannot be read, or has lost its end, counts as empty, and numbers go on
    well above any that a reader may know from it: one that comes back knows nothing but its number.
    """
    key = stream_key(run_id)
    taken = sequence + _UNREAD_MAX
    try:
        last = await redis.xrevrange(key, count=1)
        if last and _event(last[0]).sequence >= sequence:
            taken = _event(last[0]).sequence + 1
        event = event_of(fence, taken, "run", opening)
        await redis.xadd(key, event.fields(), id=event.entry_id)  # pyright: ignore[reportArgumentType]
        await redis.publish(key, event.message())
        events = [_event(entry) for entry in await redis.xrange(key) or ()]
    except (RedisError, OSError) as error:
        log.warning("stream_not_read", run_id=run_id, error=type(error).__name__)
        return Shown(text, streamed=0, sequence=taken)
    streamed = _text_of(events)
    longer = streamed if len(streamed) >= len(text) else text
    return Shown(longer, streamed=len(streamed), sequence=taken)


def _text_of(events: list[RunEvent]) -> str:
    text = ""
    for item in events:
        if item.kind == "delta":
            delta = orjson.loads(item.data)
            text = text[: delta["at"]] + delta["text"] if delta["at"] <= len(text) else text
    return text


def _event(entry: Any) -> RunEvent:
    return from_entry(*entry)
