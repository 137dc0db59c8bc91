"""The one place that reads the time, so that tests can hold it."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for what people read, monotonic time for what waits."""

    def now(self) -> datetime:
        """Return the time in UTC, aware, cut to milliseconds (what MongoDB keeps)."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        now = datetime.now(UTC)  # noqa: TID251 - this is the place
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def monotonic_s(self) -> float:
        return time.monotonic()


def rfc3339(at: datetime) -> str:
    """Write a time as the API shows it: `2026-11-22T20:09:07.123Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
