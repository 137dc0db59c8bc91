"""Time that runs by itself and can be moved forward."""

from datetime import datetime, timedelta

from common.clock import Clock


class MovableClock:
    """Another clock, and what was skipped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._skipped = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self._skipped

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s() + self._skipped.total_seconds()

    def skip(self, seconds: float) -> None:
        self._skipped += timedelta(seconds=seconds)


def api_time(at: datetime) -> str:
    """Write a time as the API does: whole seconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def event_time(at: datetime) -> str:
    """Write a time as webhooks do: with milliseconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
