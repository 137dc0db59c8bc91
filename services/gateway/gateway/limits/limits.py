"""The limits of one user, as the routes use them."""

from collections import Counter
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, contextmanager

from redis.asyncio import Redis

from common.clock import Clock
from common.errors import RateLimited
from gateway.limits.message_rate import MessageRate
from gateway.limits.stream_slots import StreamSlots
from gateway.redis_breaker import Breaker

SEARCHES_AT_ONCE = 3
"""Of one user: whoever types fast has left the one before behind."""


class Limits:
    """Redis away is no error here: smaller limits apply then, counted by each process for itself."""

    def __init__(
        self, redis: "Redis", clock: Clock, *, messages_per_minute: int, streams_per_user: int
    ) -> None:
        breaker = Breaker(clock)
        self._messages = MessageRate(redis, clock, breaker, per_minute=messages_per_minute)
        self._streams = StreamSlots(redis, clock, breaker, per_user=streams_per_user)
        self._searches: Counter[str] = Counter()

    async def check_message_rate(self, user_id: str) -> None:
        """Count one message. Raises RateLimited with `retry_after_s`."""
        await self._messages.check(user_id)

    def open_stream(self, user_id: str) -> AbstractAsyncContextManager[None]:
        """Hold one of the user's streams while it is open. Raises TooManyStreams on entry.

        Enter it before the response starts, so that the refusal can still be a 429.
        """
        return self._streams.hold("streams", user_id)

    def open_balance(self, user_id: str) -> AbstractAsyncContextManager[None]:
        """The same for a stream of the balance. An open page has one all the time, and yet may send."""
        return self._streams.hold("balances", user_id)

    @contextmanager
    def search(self, user_id: str) -> Generator[None]:
        """Hold one of the user's searches in this process. Raises RateLimited on entry."""
        if self._searches[user_id] >= SEARCHES_AT_ONCE:
            raise RateLimited("Too many searches at once", retry_after_s=1)
        self._searches[user_id] += 1
        try:
            yield
        finally:
            self._searches[user_id] -= 1
            if not self._searches[user_id]:
                del self._searches[user_id]

    async def run(self) -> None:
        """Renew and give back streams in Redis until cancelled."""
        await self._streams.run()
