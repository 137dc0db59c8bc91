"""The limits of one user, as the routes use them."""

from contextlib import AbstractAsyncContextManager

from redis.asyncio import Redis

from common.clock import Clock
from gateway.limits.breaker import Breaker
from gateway.limits.message_rate import MessageRate
from gateway.limits.stream_slots import StreamSlots


class Limits:
    """Redis away is no error here: smaller limits apply then, counted by each process for itself."""

    def __init__(
        self, redis: "Redis", clock: Clock, *, messages_per_minute: int, streams_per_user: int
    ) -> None:
        breaker = Breaker(clock)
        self._messages = MessageRate(redis, clock, breaker, per_minute=messages_per_minute)
        self._streams = StreamSlots(redis, clock, breaker, per_user=streams_per_user)

    async def check_message_rate(self, user_id: str) -> None:
        """Count one message. Raises RateLimited with `retry_after_s`."""
        await self._messages.check(user_id)

    def open_stream(self, user_id: str) -> AbstractAsyncContextManager[None]:
        """Hold one of the user's streams while it is open. Raises TooManyStreams on entry.

        Enter it before the response starts, so that the refusal can still be a 429.
        """
        return self._streams.hold(user_id)

    async def run(self) -> None:
        """Renew and give back streams in Redis until cancelled."""
        await self._streams.run()
