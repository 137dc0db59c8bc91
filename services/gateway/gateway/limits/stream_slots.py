"""Open event streams per user.

A slot in Redis expires unless its gateway renews it, so a killed gateway leaks nothing for longer than
`SLOT_S`. While Redis is away each process allows a quarter of the streams by its own count.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from common.clock import Clock
from common.errors import TooManyStreams
from common.ids import new_id
from common.metrics import STREAMS_OPEN
from gateway.redis_breaker import REDIS_ERRORS, Breaker

SLOT_S = 60
_RENEW_EVERY_S = 20
_PIPELINE_MAX = 500
_RETRY_AFTER_S = 5


class StreamSlots:
    """Hands out slots, each kind of stream by its own count; `run` renews them and gives them back."""

    def __init__(self, redis: "Redis", clock: Clock, breaker: Breaker, *, per_user: int) -> None:
        self._redis = redis
        self._clock = clock
        self._breaker = breaker
        self._per_user = per_user
        self._open: dict[str, str] = {}
        self._by_key: Counter[str] = Counter()
        self._closed: list[tuple[str, str]] = []
        self._wake = asyncio.Event()

    @asynccontextmanager
    async def hold(self, kind: str, user_id: str) -> AsyncGenerator[None]:
        """Hold a slot. Raises TooManyStreams on entry; leaving never waits, also when cancelled."""
        slot, key = new_id("q"), f"{kind}:{{{user_id}}}"
        await self._take(key, slot)
        self._open[slot] = key
        self._by_key[key] += 1
        STREAMS_OPEN.inc()
        try:
            yield
        finally:
            STREAMS_OPEN.dec()
            del self._open[slot]
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
            self._closed.append((key, slot))
            self._wake.set()

    async def run(self) -> None:
        """Give closed slots back at once and renew open ones in time, until cancelled."""
        renew_at_s = self._clock.monotonic_s() + _RENEW_EVERY_S
        while True:
            try:
                async with asyncio.timeout(max(0.0, renew_at_s - self._clock.monotonic_s())):
                    await self._wake.wait()
            except TimeoutError:
                renew_at_s = self._clock.monotonic_s() + _RENEW_EVERY_S
                await self._renew()
            self._wake.clear()
            await self._give_back()

    async def _take(self, key: str, slot: str) -> None:
        if not self._breaker.is_open:
            try:
                count = await self._take_shared(key, slot)
            except REDIS_ERRORS as error:
                self._breaker.trip(error)
            else:
                if count <= self._per_user:
                    return
                self._closed.append((key, slot))
                self._wake.set()
                raise _too_many(self._per_user)
        local_max = max(1, self._per_user // 4)
        if self._by_key[key] >= local_max:
            raise _too_many(local_max)

    async def _take_shared(self, key: str, slot: str) -> int:
        now_s = self._clock.now().timestamp()
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zremrangebyscore(key, "-inf", now_s)
        pipeline.zadd(key, {slot: now_s + SLOT_S})
        pipeline.zcard(key)
        pipeline.expire(key, 2 * SLOT_S)
        _, _, count, _ = await pipeline.execute()
        return int(count)

    async def _renew(self) -> None:
        expires_s = self._clock.now().timestamp() + SLOT_S
        for part in _batched(list(self._open.items())):
            pipeline = self._redis.pipeline(transaction=False)
            for slot, key in part:
                pipeline.zadd(key, {slot: expires_s})
                pipeline.expire(key, 2 * SLOT_S)
            await self._execute(pipeline)

    async def _give_back(self) -> None:
        closed, self._closed = self._closed, []
        for part in _batched(closed):
            pipeline = self._redis.pipeline(transaction=False)
            for key, slot in part:
                pipeline.zrem(key, slot)
            await self._execute(pipeline)

    async def _execute(self, pipeline: "Pipeline") -> None:
        if self._breaker.is_open:
            return
        try:
            await pipeline.execute()
        except REDIS_ERRORS as error:
            self._breaker.trip(error)


def _batched(items: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    return [items[start : start + _PIPELINE_MAX] for start in range(0, len(items), _PIPELINE_MAX)]


def _too_many(allowed: int) -> TooManyStreams:
    return TooManyStreams(f"At most {allowed} streams at once", retry_after_s=_RETRY_AFTER_S)
