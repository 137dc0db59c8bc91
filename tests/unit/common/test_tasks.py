"""Loops that run beside a service end when it does."""

import asyncio

from common.tasks import background_tasks


async def test_a_loop_that_loses_a_cancellation_ends_all_the_same() -> None:
    lost = 0

    async def careless() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost += 1

    async with asyncio.timeout(20):
        async with background_tasks(careless()):
            await asyncio.sleep(0)
    assert lost == 1


async def test_a_loop_that_ended_by_itself_is_named() -> None:
    async def short() -> None:
        return

    async with background_tasks(short()) as check:
        await asyncio.sleep(0.01)
        (problem,) = await check()
        assert "short has ended" in problem
