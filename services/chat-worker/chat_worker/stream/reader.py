"""What an earlier attempt has already shown to readers: read before a run is taken over."""

from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.log import get_logger
from common.run_stream import RunEvent, event_of, from_entry, stream_key

log = get_logger()


@dataclass(frozen=True, slots=True)
class Shown:
    """The text and the last sequence that readers may have seen."""

    text: str
    sequence: int


async def take_over_stream(
    redis: Redis, run_id: str, *, fence: int, stored: Shown, opening: dict[str, object]
) -> Shown:
    """Fence the stream off and return what it holds, or what was stored if it is gone or behind.

    The opening event goes first: once it stands, no older attempt can append any more, so what is read
    after it is final.
    """
    key = stream_key(run_id)
    try:
        last = await redis.xrevrange(key, count=1)
        sequence = max(_event(last[0]).sequence if last else 0, stored.sequence) + 1
        event = event_of(fence, sequence, "run", opening)
        await redis.xadd(key, event.fields(), id=event.entry_id)  # pyright: ignore[reportArgumentType]
        await redis.publish(key, event.message())
        events = [_event(entry) for entry in await redis.xrange(key) or ()]
    except (RedisError, OSError) as error:
        log.warning("stream_not_read", run_id=run_id, error=type(error).__name__)
        return Shown(stored.text, stored.sequence + 1)
    text = ""
    for item in events:
        if item.kind == "delta":
            delta = orjson.loads(item.data)
            text = text[: delta["at"]] + delta["text"] if delta["at"] <= len(text) else text
    sequence = max(item.sequence for item in events)
    return Shown(text if len(text) >= len(stored.text) else stored.text, sequence)


def _event(entry: Any) -> RunEvent:
    return from_entry(*entry)
