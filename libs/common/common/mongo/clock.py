"""The time of the database, so that all processes of the ledger agree on when a hold expires."""

from datetime import UTC, datetime, timedelta

from common.clock import Clock
from common.mongo.client import Database


class DatabaseClock:
    """The process's own clock, put right by what the database says; one question now and then.

    Until the first `refresh` it is the process's own clock.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._offset = timedelta()

    async def refresh(self) -> None:
        """Ask the database for its time. Raises PyMongoError; the last answer then stays in use."""
        asked_at = self._clock.now()
        hello = await self._db.command("hello")
        answered_at = self._clock.now()
        there = hello["localTime"].replace(tzinfo=UTC)
        self._offset = there - (asked_at + (answered_at - asked_at) / 2)

    def now(self) -> datetime:
        now = self._clock.now() + self._offset
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()
