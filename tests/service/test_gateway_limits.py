"""Limits per user on a real Redis, and without it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from common import redis_client
from common.errors import RateLimited, TooManyStreams
from common.tasks import background_tasks
from gateway.limits.limits import Limits
from support.clock import FakeClock

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@asynccontextmanager
async def limits_on(url: str, clock: FakeClock) -> AsyncGenerator[Limits]:
    redis = redis_client.connect(url, timeout_s=20)
    try:
        yield Limits(redis, clock, messages_per_minute=20, streams_per_user=10)
    finally:
        await redis.aclose()


@pytest.fixture
async def limits(redis_url: str, clock: FakeClock) -> AsyncGenerator[Limits]:
    async with limits_on(redis_url, clock) as limits:
        yield limits


@pytest.fixture
async def redis(redis_url: str) -> AsyncGenerator[Redis]:
    redis = redis_client.connect(redis_url, timeout_s=20)
    yield redis
    await redis.aclose()


async def admitted(limits: Limits, user_id: str, attempts: int) -> int:
    async def one() -> bool:
        try:
            await limits.check_message_rate(user_id)
        except RateLimited:
            return False
        return True

    return sum([await one() for _ in range(attempts)])


async def hold_many(limits: Limits, stack: AsyncExitStack, user_id: str, attempts: int) -> int:
    opened = 0
    for _ in range(attempts):
        try:
            await stack.enter_async_context(limits.open_stream(user_id))
            opened += 1
        except TooManyStreams:
            continue
    return opened


async def until_given_back(redis: Redis, user_id: str) -> None:
    async with asyncio.timeout(20):
        while await redis.zcard(f"streams:{{{user_id}}}"):
            await asyncio.sleep(0.01)


class TestMessagesPerMinute:
    async def test_twenty_come_through_in_a_minute(self, limits: Limits):
        assert await admitted(limits, "u1", 30) == 20

    async def test_another_user_is_not_touched(self, limits: Limits):
        await admitted(limits, "u1", 30)
        assert await admitted(limits, "u2", 1) == 1

    async def test_the_refusal_says_when_the_next_may_come(self, limits: Limits, clock: FakeClock):
        await admitted(limits, "u1", 1)
        clock.pass_s(10)
        await admitted(limits, "u1", 19)
        with pytest.raises(RateLimited) as refusal:
            await limits.check_message_rate("u1")
        assert refusal.value.retry_after_s == 50
        clock.pass_s(50)
        assert await admitted(limits, "u1", 2) == 1

    async def test_what_was_refused_does_not_count(self, limits: Limits, clock: FakeClock):
        await admitted(limits, "u1", 20)
        clock.pass_s(59)
        assert await admitted(limits, "u1", 100) == 0
        clock.pass_s(1)
        assert await admitted(limits, "u1", 30) == 20

    async def test_two_gateways_count_together(self, limits: Limits, redis_url: str, clock: FakeClock):
        async with limits_on(redis_url, clock) as other:
            assert await admitted(limits, "u1", 15) + await admitted(other, "u1", 15) == 20

    async def test_many_at_once_never_pass_the_limit(self, limits: Limits):
        results = await asyncio.gather(
            *(limits.check_message_rate("u1") for _ in range(60)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, RateLimited)]
        assert all(result is None or isinstance(result, RateLimited) for result in results)
        assert len(results) - len(refused) <= 20

    async def test_nothing_is_left_behind(self, limits: Limits, redis: Redis):
        await admitted(limits, "u1", 30)
        for key in await redis.keys("*"):
            assert 0 < await redis.ttl(key) <= 120

    async def test_without_redis_a_quarter_comes_through(self, clock: FakeClock):
        async with limits_on(NOWHERE, clock) as limits:
            assert await admitted(limits, "u1", 30) == 5
            assert await admitted(limits, "u2", 30) == 5
            clock.pass_s(60)
            assert await admitted(limits, "u1", 30) == 5

    async def test_with_redis_emptied_the_count_starts_again(self, limits: Limits, redis: Redis):
        await admitted(limits, "u1", 20)
        await redis.flushdb()
        assert await admitted(limits, "u1", 30) == 20


class TestStreams:
    async def test_ten_may_be_open(self, limits: Limits):
        async with AsyncExitStack() as stack:
            assert await hold_many(limits, stack, "u1", 13) == 10
            assert await hold_many(limits, stack, "u2", 1) == 1

    async def test_a_closed_stream_makes_room(self, limits: Limits, redis: Redis):
        async with background_tasks(limits.run()), AsyncExitStack() as stack:
            async with AsyncExitStack() as closing:
                assert await hold_many(limits, closing, "u1", 12) == 10
            await until_given_back(redis, "u1")
            assert await hold_many(limits, stack, "u1", 12) == 10

    async def test_streams_of_a_killed_gateway_expire(self, limits: Limits, redis_url: str, clock: FakeClock):
        async with AsyncExitStack() as stack, limits_on(redis_url, clock) as killed:
            await hold_many(killed, stack, "u1", 10)
            async with AsyncExitStack() as mine:
                assert await hold_many(limits, mine, "u1", 1) == 0
                clock.pass_s(60)
                assert await hold_many(limits, mine, "u1", 12) == 10

    async def test_an_open_stream_is_renewed(self, limits: Limits, clock: FakeClock, redis: Redis):
        async with AsyncExitStack() as stack, background_tasks(limits.run()):
            await hold_many(limits, stack, "u1", 1)
            for _ in range(10):
                clock.pass_s(10)
                # Wakes the loop, which looks at the clock.
                async with limits.open_stream("u2"):
                    pass
                await until_given_back(redis, "u2")
            assert await redis.zcount("streams:{u1}", clock.now().timestamp(), "+inf") == 1

    async def test_the_refusal_says_when_to_try_again(self, limits: Limits):
        async with AsyncExitStack() as stack:
            await hold_many(limits, stack, "u1", 10)
            with pytest.raises(TooManyStreams) as refusal:
                await stack.enter_async_context(limits.open_stream("u1"))
            assert refusal.value.retry_after_s

    @pytest.mark.parametrize("url", ["", NOWHERE])
    async def test_open_pages_take_no_stream_of_a_run(self, redis_url: str, clock: FakeClock, url: str):
        async with limits_on(url or redis_url, clock) as limits, AsyncExitStack() as stack:
            allowed = 2 if url else 10
            for _ in range(allowed):
                await stack.enter_async_context(limits.open_balance("u1"))
            with pytest.raises(TooManyStreams):
                await stack.enter_async_context(limits.open_balance("u1"))
            assert await hold_many(limits, stack, "u1", 13) == allowed

    async def test_without_redis_a_quarter_may_be_open(self, clock: FakeClock):
        async with limits_on(NOWHERE, clock) as limits:
            async with AsyncExitStack() as stack:
                assert await hold_many(limits, stack, "u1", 10) == 2
            async with AsyncExitStack() as stack:
                assert await hold_many(limits, stack, "u1", 10) == 2
