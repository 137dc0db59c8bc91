"""The time of the database, so that all processes agree on when a hold or a lease runs out."""

import asyncio
from datetime import UTC, datetime, timedelta

from pymongo.errors import PyMongoError

from common.clock import Clock
from common.log import get_logger
from common.mongo.client import Database

log = get_logger()

_REFRESH_EVERY_S = 30.0
_RESOLUTION = timedelta(milliseconds=1)


class DatabaseClock:
    """The process's own clock, put right by what the database says; one question now and then.

    Until the first `refresh` it is the process's own clock.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._offset = timedelta()

    async def refresh(self) -> None:
        """Ask the database for its time. Raises PyMongoError; the last answer then stays in use.

        An answer is as uncertain as it took long. What it does not contradict stays as it is, so that time
        does not step to and fro with the load of the machine.
        """
        asked_at = self._clock.now()
        hello = await self._db.command("hello")
        answered_at = self._clock.now()
        there = hello["localTime"].replace(tzinfo=UTC)
        uncertain = (answered_at - asked_at) / 2
        offset = there - (asked_at + uncertain)
        if abs(offset - self._offset) > uncertain + _RESOLUTION:
            self._offset = offset

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
