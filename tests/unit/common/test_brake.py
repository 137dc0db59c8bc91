"""When a consumer brakes, what it lets through meanwhile, and when it goes on."""

import asyncio

import pytest

from common.amqp.brake import Brake
from common.amqp.delivery import DeadLetter, Done, Outcome, RetryLater

FAILED, HANDLED, SET_ASIDE = RetryLater("away"), Done(), DeadLetter("never")
BUG, BUSY = RetryLater("bug: KeyError", cause="bug"), RetryLater("held by another worker", cause="busy")


def braked() -> Brake:
    brake = Brake("test.brake", pause_s=0.001)
    brake.note([FAILED] * 20)
    assert brake.is_on
    return brake


@pytest.mark.parametrize(
    ("outcomes", "is_on"),
    [
        ([FAILED] * 19, False),
        ([FAILED] * 20, True),
        ([FAILED] * 16 + [HANDLED] * 4, True),
        ([FAILED] * 15 + [HANDLED] * 5, False),
        ([FAILED] * 15 + [SET_ASIDE] * 5, False),
        ([SET_ASIDE] * 100, False),
    ],
)
def test_it_is_on_when_most_of_the_last_twenty_failed(outcomes: list[Outcome], is_on):
    brake = Brake("test.brake")
    for outcome in outcomes:
        brake.note([outcome])
    assert brake.is_on == is_on


class Handled:
    """Counts messages that were let through, and how many were being handled at once."""

    def __init__(self, brake: Brake) -> None:
        self._brake = brake
        self._active = 0
        self.at_once_max = 0

    async def one(self, outcome: Outcome, *, lasts_s: float = 0.0) -> None:
        await self._brake.admit()
        self._active += 1
        self.at_once_max = max(self.at_once_max, self._active)
        await asyncio.sleep(lasts_s)
        self._brake.note([outcome])
        self._active -= 1


async def test_one_after_the_other_is_tried_and_a_success_lets_all_go_on():
    brake = braked()
    handled = Handled(brake)
    await asyncio.gather(*(handled.one(FAILED) for _ in range(4)))
    assert (handled.at_once_max, brake.is_on) == (1, True)
    await asyncio.gather(handled.one(HANDLED), *(handled.one(FAILED, lasts_s=0.5) for _ in range(4)))
    assert (handled.at_once_max, brake.is_on) == (4, False)


async def test_a_message_that_takes_long_holds_nobody_up():
    brake = braked()
    handled = Handled(brake)
    long = asyncio.create_task(handled.one(FAILED, lasts_s=3600))
    await handled.one(FAILED)
    await handled.one(HANDLED)
    assert (long.done(), brake.is_on) == (False, False)
    long.cancel()


async def test_what_is_set_aside_does_not_prove_that_others_will_work():
    brake = braked()
    await Handled(brake).one(SET_ASIDE)
    assert brake.is_on


def test_work_that_goes_on_elsewhere_is_no_failure():
    brake = Brake("test.brake")
    brake.note([BUSY] * 100)
    assert not brake.is_on
    brake.note([FAILED] * 20)
    assert brake.is_on


@pytest.mark.parametrize(
    ("outcome", "is_kept"), [(FAILED, True), (BUSY, True), (BUG, False), (SET_ASIDE, False), (HANDLED, False)]
)
def test_only_what_may_work_later_keeps_its_attempts(outcome: Outcome, is_kept):
    assert braked().keeps(outcome) == is_kept
    assert not Brake("test.brake").keeps(outcome)


async def test_whoever_waits_can_be_let_go_and_leaves_the_turn_to_others():
    brake = braked()
    handled = Handled(brake)
    waiting = [asyncio.create_task(handled.one(FAILED)) for _ in range(3)]
    await asyncio.sleep(0)
    brake.let_go()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    await handled.one(HANDLED)
    assert (handled.at_once_max, brake.is_on) == (1, False)
