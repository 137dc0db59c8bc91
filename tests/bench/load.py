"""Streams that are open at the same time, each asking again as soon as it has its answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


async def steady(
    *, streams: int, rounds: int, answer_s: float, read: Callable[[int], Awaitable[T]]
) -> list[T]:
    """Read `rounds` answers on each stream and return them, those of the first round excepted.

    Starts are spread over the length of an answer, as people's are; the first round fills the streams.
    """

    async def one(number: int) -> list[T]:
        await asyncio.sleep(number * answer_s / streams)
        return [await read(number) for _ in range(rounds + 1)]

    readings = await asyncio.gather(*(one(number) for number in range(streams)))
    return [reading for own in readings for reading in own[1:]]


async def at_once(*, streams: int, rounds: int, read: Callable[[int], Awaitable[T]]) -> list[T]:
    """Ask on all streams in the same moment, `rounds` times."""
    readings: list[T] = []
    for _ in range(rounds):
        readings += await asyncio.gather(*(read(number) for number in range(streams)))
    return readings


async def drain(numbers: Iterator[int], step: Callable[[int], Awaitable[object]], *, in_flight: int) -> None:
    """Take a step for every number, so many at the same time."""

    async def work() -> None:
        for number in numbers:
            await step(number)

    await asyncio.gather(*(work() for _ in range(in_flight)))
