"""When a consumer brakes, what it lets through meanwhile, and when it goes on."""

import asyncio

import pytest

from common.amqp.brake import Brake
from common.amqp.delivery import DeadLetter, Done, Outcome, RetryLater

FAILED, HANDLED, SET_ASIDE = RetryLater("away"), Done(), DeadLetter("never")


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


async def handle(brake: Brake, active: list[int], outcome: Outcome) -> None:
    async with brake.admitted():
        active[0] += 1
        active[1] = max(active)
        await asyncio.sleep(0.001)
        brake.note([outcome])
        active[0] -= 1


async def test_one_at_a_time_is_tried_and_a_success_lets_all_go_on():
    brake, active = braked(), [0, 0]
    await asyncio.gather(*(handle(brake, active, FAILED) for _ in range(4)))
    assert (active[1], brake.is_on) == (1, True)
    await asyncio.gather(handle(brake, active, HANDLED), *(handle(brake, active, FAILED) for _ in range(4)))
    assert (active[1] > 1, brake.is_on) == (True, False)


async def test_what_is_set_aside_does_not_prove_that_others_will_work():
    brake = braked()
    await handle(brake, [0, 0], SET_ASIDE)
    assert brake.is_on


async def test_whoever_waits_can_be_let_go_and_leaves_the_probe_to_others():
    brake, active = braked(), [0, 0]
    waiting = [asyncio.create_task(handle(brake, active, FAILED)) for _ in range(3)]
    await asyncio.sleep(0)
    brake.let_go()
    assert all(
        isinstance(end, asyncio.CancelledError)
        for end in await asyncio.gather(*waiting, return_exceptions=True)
    )
    await handle(brake, active, HANDLED)
    assert (active, brake.is_on) == ([0, 1], False)
