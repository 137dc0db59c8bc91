"""Remembers for a moment that Redis is away, so that not every request waits for a timeout."""

from redis.exceptions import RedisError

from common.clock import Clock
from common.log import get_logger

log = get_logger()

REDIS_ERRORS = (RedisError, OSError)
_PAUSE_S = 2.0


class Breaker:
    """Open means: do not try Redis now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_until_s = 0.0

    @property
    def is_open(self) -> bool:
        return self._clock.monotonic_s() < self._open_until_s

    def trip(self, error: Exception) -> None:
        if not self.is_open:
            log.warning("without_redis", error=type(error).__name__)
        self._open_until_s = self._clock.monotonic_s() + _PAUSE_S
