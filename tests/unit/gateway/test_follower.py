"""A follower moves between channel, stream and store without losing or repeating anything."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import orjson
import pytest
from pymongo.errors import AutoReconnect
from redis.exceptions import ConnectionError as RedisConnectionError

from common.run_stream import RunEvent, event_of
from gateway.streaming.follower import PAGE_MAX, PENDING_MAX, Follower
from gateway.streaming.stored_runs import StoredRun

T = TypeVar("T")


def delta(sequence: int, text: str, at: int, *, fence: int = 1) -> RunEvent:
    return event_of(fence, sequence, "delta", {"text": text, "at": at})


def done(sequence: int) -> RunEvent:
    return event_of(1, sequence, "done", {"status": "completed"})


def stored(text: str, *, last_sequence: int, state: str = "active") -> StoredRun:
    return StoredRun(
        id="r_1",
        thread_id="t_1",
        message_id="m_1",
        state=state,
        text=text,
        last_sequence=last_sequence,
        usage=None,
        usage_source=None,
        error=None,
        files=[],
        annotations=[],
    )


class FakeSources:
    """A stream and a store that a test fills, and that may be away."""

    def __init__(self) -> None:
        self.connected = True
        self.entries: list[RunEvent] = []
        self.run: StoredRun | None = None
        self.waits_for_worker = True
        self.redis_is_away = False
        self.store_is_away = False
        self.stream_reads = 0
        self.during_read: Callable[[], None] = lambda: None
        self.during_may_start: Callable[[], None] = lambda: None
        self.left: list[Follower] = []

    async def read_stream(self, run_id: str, *, first_entry_id: str, limit: int) -> list[RunEvent]:
        self.stream_reads += 1
        await asyncio.sleep(0)
        self.during_read()
        if self.redis_is_away:
            raise RedisConnectionError
        fence, sequence = map(int, first_entry_id.split("-"))
        return [e for e in self.entries if (e.fence, e.sequence) >= (fence, sequence)][:limit]

    async def find_run(self, run_id: str, user_id: str) -> StoredRun | None:
        if self.store_is_away:
            raise AutoReconnect
        return self.run

    async def may_start(self, run_id: str, user_id: str) -> bool:
        self.during_may_start()
        return self.waits_for_worker

    def leave(self, follower: Follower) -> None:
        self.left.append(follower)


@pytest.fixture
async def sources() -> FakeSources:
    return FakeSources()


def follow(sources: FakeSources, *, after: int = 0, may_be_stored: bool = True) -> Follower:
    return Follower(sources, "r_1", "u1", after_sequence=after, may_be_stored=may_be_stored)


async def soon(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await awaitable


async def is_silent(follower: Follower) -> bool:
    """Tell whether the follower waits; it goes on waiting in the task that is returned to nobody."""
    task = asyncio.ensure_future(anext(follower))
    for _ in range(20):
        await asyncio.sleep(0)
    silent = not task.done()
    task.cancel()
    return silent


def texts(events: list[RunEvent]) -> list[tuple[str, int]]:
    deltas = [orjson.loads(event.data) for event in events if event.kind == "delta"]
    return [(data["text"], data["at"]) for data in deltas]


async def test_what_the_channel_says_comes_at_once_and_in_one_batch(sources: FakeSources) -> None:
    follower = follow(sources)
    follower.offer(delta(1, "a", 0))
    follower.offer(delta(2, "b", 1))
    assert texts(await soon(anext(follower))) == [("a", 0), ("b", 1)]
    assert sources.stream_reads == 0


async def test_a_gap_is_filled_from_the_stream(sources: FakeSources) -> None:
    follower = follow(sources)
    follower.offer(delta(1, "a", 0))
    await soon(anext(follower))
    sources.entries = [delta(1, "a", 0), delta(2, "b", 1), delta(3, "c", 2)]
    follower.offer(delta(3, "c", 2))
    assert texts(await soon(anext(follower))) == [("b", 1), ("c", 2)]


async def test_a_slow_reader_keeps_a_bounded_queue_and_reads_the_stream_later(sources: FakeSources) -> None:
    follower = follow(sources)
    sources.entries = [delta(n, "x", n - 1) for n in range(1, 2 * PENDING_MAX)]
    for event in sources.entries:
        follower.offer(event)
    received = list[RunEvent]()
    while len(received) < len(sources.entries):
        received += await soon(anext(follower))
    assert [event.sequence for event in received] == [event.sequence for event in sources.entries]


async def test_a_long_stream_is_read_page_by_page(sources: FakeSources) -> None:
    sources.entries = [delta(n, "x", n - 1) for n in range(1, 2 * PAGE_MAX + 2)]
    follower = follow(sources)
    follower.fall_behind()
    first = await soon(anext(follower))
    second = await soon(anext(follower))
    third = await soon(anext(follower))
    assert len(first) == PAGE_MAX
    assert [event.sequence for event in [*first, *second, *third]] == [e.sequence for e in sources.entries]


async def test_it_ends_after_done(sources: FakeSources) -> None:
    follower = follow(sources)
    follower.offer(delta(1, "a", 0))
    follower.offer(done(2))
    assert [event.kind for event in await soon(anext(follower))] == ["delta", "done"]
    with pytest.raises(StopAsyncIteration):
        await soon(anext(follower))


async def test_a_stream_that_lost_the_place_is_replaced_by_the_store_until_it_has_it_again(
    sources: FakeSources,
) -> None:
    follower = follow(sources)
    follower.offer(delta(1, "ab", 0))
    await soon(anext(follower))
    # 2 and 3 were never seen and are gone; the stream begins anew with 4.
    sources.entries = [delta(4, "gh", 6)]
    follower.offer(delta(4, "gh", 6))
    sources.run = stored("abcd", last_sequence=2)
    assert texts(await soon(anext(follower))) == [("cd", 2)]
    assert follower.polls
    sources.run = stored("abcdefgh", last_sequence=4)
    follower.fall_behind()
    assert texts(await soon(anext(follower))) == [("efgh", 4)]
    follower.offer(delta(5, "ij", 8))
    assert texts(await soon(anext(follower))) == [("ij", 8)]


async def test_a_lost_place_does_not_ask_the_store_for_every_event(sources: FakeSources) -> None:
    follower = follow(sources)
    follower.offer(delta(1, "a", 0))
    await soon(anext(follower))
    sources.run = stored("a", last_sequence=1)
    sources.entries = [delta(3, "c", 2)]
    for sequence in range(3, 30):
        follower.offer(delta(sequence, "x", sequence - 1))
        assert await is_silent(follower)
    assert sources.stream_reads == 1


async def test_without_redis_the_answer_comes_from_the_store(sources: FakeSources) -> None:
    sources.redis_is_away = True
    sources.run = stored("So far", last_sequence=3)
    follower = follow(sources)
    follower.fall_behind()
    assert texts(await soon(anext(follower))) == [("So far", 0)]
    sources.run = stored("So far, so good", last_sequence=8, state="completed")
    follower.fall_behind()
    events = await soon(anext(follower))
    assert texts(events) == [(", so good", 6)]
    assert events[-1].is_last


async def test_while_the_channels_are_down_redis_is_not_asked(sources: FakeSources) -> None:
    sources.connected = False
    sources.run = stored("So far", last_sequence=3)
    follower = follow(sources)
    follower.fall_behind()
    await soon(anext(follower))
    assert sources.stream_reads == 0


async def test_with_neither_redis_nor_store_it_waits_and_goes_on_polling(sources: FakeSources) -> None:
    sources.redis_is_away = sources.store_is_away = True
    follower = follow(sources)
    follower.fall_behind()
    assert await is_silent(follower)
    assert follower.polls


async def test_a_quiet_time_is_told_by_an_empty_batch(sources: FakeSources) -> None:
    sources.entries = [delta(1, "a", 0)]
    sources.run = stored("a", last_sequence=1)
    follower = follow(sources)
    follower.fall_behind()
    await soon(anext(follower))
    follower.check()
    assert await soon(anext(follower)) == []


async def test_an_end_that_never_reached_the_stream_is_found_in_a_quiet_time(sources: FakeSources) -> None:
    sources.entries = [delta(1, "a", 0)]
    follower = follow(sources)
    follower.fall_behind()
    await soon(anext(follower))
    sources.run = stored("ab", last_sequence=4, state="completed")
    follower.check()
    events = await soon(anext(follower))
    assert texts(events) == [("b", 1)]
    assert events[-1].is_last


async def test_a_run_that_no_worker_takes_ends_with_an_error(sources: FakeSources) -> None:
    follower = follow(sources, may_be_stored=False)
    follower.check()
    assert await soon(anext(follower)) == []
    sources.waits_for_worker = False
    follower.check()
    assert [event.kind for event in await soon(anext(follower))] == ["error", "done"]


async def test_a_run_that_is_claimed_just_before_its_message_is_taken_back_goes_on(
    sources: FakeSources,
) -> None:
    def claimed_and_taken_back() -> None:
        sources.run = stored("a", last_sequence=2)
        sources.waits_for_worker = False

    sources.during_may_start = claimed_and_taken_back
    follower = follow(sources)
    follower.fall_behind()
    assert texts(await soon(anext(follower))) == [("a", 0)]


async def test_a_run_about_to_be_asked_for_is_not_looked_for_in_the_store(sources: FakeSources) -> None:
    sources.waits_for_worker = False
    follower = follow(sources, may_be_stored=False)
    follower.fall_behind()
    assert await is_silent(follower)


async def test_closing_ends_whoever_waits(sources: FakeSources) -> None:
    follower = follow(sources)
    waiting = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    follower.close()
    with pytest.raises(StopAsyncIteration):
        await soon(waiting)
    assert sources.left == [follower]


async def test_what_the_channel_says_while_the_stream_is_read_is_not_kept_waiting(
    sources: FakeSources,
) -> None:
    follower = follow(sources)
    sources.during_read = lambda: follower.offer(delta(1, "a", 0))
    follower.fall_behind()
    assert texts(await soon(anext(follower))) == [("a", 0)]


async def test_closing_while_the_stream_is_read_ends_it(sources: FakeSources) -> None:
    follower = follow(sources)
    sources.during_read = follower.close
    follower.fall_behind()
    with pytest.raises(StopAsyncIteration):
        await soon(anext(follower))
