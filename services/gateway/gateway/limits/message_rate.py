"""Messages a minute, per user, over a sliding window in Redis: one pipeline, one round trip.

While Redis is away each process counts for itself at a quarter of the rate: several gateways together
stay near the limit, and nobody gets an error for it.
"""

import math
from collections import OrderedDict, deque

from redis.asyncio import Redis

from common.clock import Clock
from common.errors import RateLimited
from common.ids import new_id
from gateway.redis_breaker import REDIS_ERRORS, Breaker

WINDOW_S = 60
_LOCAL_USERS_MAX = 10_000


class MessageRate:
    """Counts what was admitted; what was refused does not count."""

    def __init__(self, redis: "Redis", clock: Clock, breaker: Breaker, *, per_minute: int) -> None:
        self._redis = redis
        self._clock = clock
        self._breaker = breaker
        self._per_minute = per_minute
        self._local: OrderedDict[str, deque[float]] = OrderedDict()

    async def check(self, user_id: str) -> None:
        """Count one message. Raises RateLimited with the seconds until the next may come."""
        if not self._breaker.is_open:
            try:
                await self._check_shared(user_id)
            except REDIS_ERRORS as error:
                self._breaker.trip(error)
            else:
                return
        self._check_local(user_id)

    async def _check_shared(self, user_id: str) -> None:
        key, entry, now_s = f"rate:{{{user_id}}}", new_id("q"), self._clock.now().timestamp()
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zremrangebyscore(key, "-inf", now_s - WINDOW_S)
        pipeline.zadd(key, {entry: now_s})
        pipeline.zcard(key)
        pipeline.zrange(key, 0, 0, withscores=True)
        pipeline.expire(key, 2 * WINDOW_S)
        _, _, count, oldest, _ = await pipeline.execute()
        if count > self._per_minute:
            await self._redis.zrem(key, entry)
            raise _limited(oldest[0][1], now_s)

    def _check_local(self, user_id: str) -> None:
        now_s = self._clock.monotonic_s()
        admitted = self._local.setdefault(user_id, deque())
        self._local.move_to_end(user_id)
        while len(self._local) > _LOCAL_USERS_MAX:
            self._local.popitem(last=False)
        while admitted and admitted[0] <= now_s - WINDOW_S:
            admitted.popleft()
        if len(admitted) >= max(1, self._per_minute // 4):
            raise _limited(admitted[0], now_s)
        admitted.append(now_s)


def _limited(oldest_s: float, now_s: float) -> RateLimited:
    retry_after_s = max(1, math.ceil(oldest_s + WINDOW_S - now_s))
    return RateLimited(
        f"Too many messages in a minute, please wait {retry_after_s} s", retry_after_s=retry_after_s
    )
