"""One writer for all runs of the process.

The first text of a run goes out at once. Later text is gathered for a tick and written for all runs in
one pipeline, so that the cost is per tick and not per token. A run's text that Redis cannot take right
now waits in its own buffer, which is never larger than the answer.
"""

import asyncio
from collections.abc import Mapping

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from chat_worker.stream.output import RunOutput
from common.log import get_logger
from common.run_stream import TTL_S, stream_key

log = get_logger()

_TICK_S = 0.03
_PAUSE_AFTER_FAILURE_S = 0.5
_EXPIRE_EVERY = 64
"""Events between two renewals of a stream's life: far fewer than are written in that time."""


class StreamWriter:
    """Flushes the outputs of all runs from one task over one connection, so that their order holds."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # By run and fence: an older attempt that still says something must not displace the one that counts.
        self._dirty: dict[tuple[str, int], RunOutput] = {}
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def text(self, output: RunOutput, text: str) -> None:
        """Add text to a run; it is on its way within a tick, the first at once."""
        output.text += text
        self._mark(output, urgent=output.is_urgent())

    def event(self, output: RunOutput, kind: str, data: Mapping[str, object]) -> None:
        """Add an event to a run, behind its text; it is written at once."""
        output.add(kind, data)
        self._mark(output, urgent=True)

    async def settled(self, *, timeout_s: float) -> None:
        """Wait until all is written, or the timeout is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("stream_not_flushed", runs=len(self._dirty))

    def _mark(self, output: RunOutput, *, urgent: bool) -> None:
        self._dirty[output.run_id, output.fence] = output
        self._idle.clear()
        self._wake.set()
        if urgent:
            self._urgent.set()

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._urgent.clear()
            batch, self._dirty = self._dirty, {}
            try:
                await self._flush(list(batch.values()))
            except (RedisError, OSError) as error:
                log.warning("stream_write_failed", runs=len(batch), error=type(error).__name__)
                self._dirty = batch | self._dirty
                self._wake.set()
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
                continue
            if not self._dirty:
                self._idle.set()
            await self._tick()

    async def _tick(self) -> None:
        try:
            async with asyncio.timeout(_TICK_S):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def _flush(self, outputs: list[RunOutput]) -> None:
        taken = [(output, output.take()) for output in outputs]
        async with self._redis.pipeline(transaction=False) as pipe:
            for output, events in taken:
                key = stream_key(output.run_id)
                for event in events:
                    pipe.xadd(key, event.fields(), id=event.entry_id)  # pyright: ignore[reportArgumentType]
                    pipe.publish(key, event.message())
                    if event.is_last or event.sequence % _EXPIRE_EVERY == 1:
                        pipe.expire(key, TTL_S)
            results = await pipe.execute(raise_on_error=False)
        for result in results:
            # Refused ids were written by an earlier try whose answer was lost, or the run is no longer ours.
            if isinstance(result, Exception) and not _is_refused_id(result):
                raise result
        for output, events in taken:
            output.written(len(events))


def _is_refused_id(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "equal or smaller" in str(error)
