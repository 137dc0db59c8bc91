"""The time of the database, so that all processes agree on when a hold or a lease runs out."""

import asyncio
from datetime import UTC, datetime, timedelta

from pymongo.errors import PyMongoError

from common.clock import Clock
from common.log import get_logger
from common.mongo.client import Database

log = get_logger()

_REFRESH_EVERY_S = 30.0


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

    async def run(self) -> None:
        """Ask every now and then until cancelled; while the database is away the last answer serves."""
        while True:
            await asyncio.sleep(_REFRESH_EVERY_S)
            try:
                await self.refresh()
            except PyMongoError as error:
                log.warning("time_not_read", error=type(error).__name__)

    def now(self) -> datetime:
        now = self._clock.now() + self._offset
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()
