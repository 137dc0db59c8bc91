"""The time of the database, as a process of another time sees it."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from common.mongo.client import Database
from common.mongo.clock import DatabaseClock
from support.clock import FakeClock

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class SlowDatabase:
    """Answers after `takes_s`, with a clock that is `ahead_s` of ours."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.takes_s = 0.0
        self.share_before = 0.5
        self.ahead_s = 0.0

    async def command(self, _: str) -> dict[str, Any]:
        self._clock.pass_s(self.takes_s * self.share_before)
        there = self._clock.now() + timedelta(seconds=self.ahead_s)
        self._clock.pass_s(self.takes_s * (1 - self.share_before))
        return {"localTime": there.replace(tzinfo=None)}


@pytest.fixture
def database() -> SlowDatabase:
    return SlowDatabase(FakeClock(NOW))


def clock_of(database: SlowDatabase) -> DatabaseClock:
    return DatabaseClock(cast(Database, database), database._clock)


async def test_a_clock_that_is_wrong_is_put_right(database: SlowDatabase):
    clock = clock_of(database)
    database.ahead_s, database.takes_s = 600, 0.01
    await clock.refresh()
    assert clock.now() - database._clock.now() == timedelta(seconds=600)


@pytest.mark.parametrize("share_before", [0.0, 0.1, 0.9, 1.0])
async def test_an_answer_that_takes_long_does_not_move_a_clock_that_is_right(
    database: SlowDatabase, share_before: float
):
    clock = clock_of(database)
    database.takes_s, database.share_before = 2.0, share_before
    await clock.refresh()
    assert clock.now() == database._clock.now()
