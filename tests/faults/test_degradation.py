"""A server or a link is away, slow or half-open: what needs it is refused in time, the rest goes on."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from common.amqp import topology
from common.ids import new_id
from support.chat_client import Answer, ChatClient
from support.faulty_stack import FaultyStack, frozen, refusal, running_faulty_stack
from support.finished_runs import booked_tokens
from support.patient import Reading, ask_patiently
from support.servers import PrivateServers
from support.sim import sim, tokens

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

UserFactory = Callable[[], Awaitable[ChatClient]]


@pytest.fixture(scope="module")
async def product(
    mortal_servers: PrivateServers, mortal_management: httpx.AsyncClient
) -> AsyncGenerator[FaultyStack]:
    env = {"PROVIDER_IDLE_S": "3"}
    async with running_faulty_stack(mortal_servers, mortal_management, env=env) as stack:
        yield stack


@pytest.fixture
def new_user(product: FaultyStack) -> UserFactory:
    async def make() -> ChatClient:
        client = product.client(new_id("q"))
        await client.open()
        return client

    return make


class Asking:
    """A question whose answer is being written."""

    def __init__(self, user: ChatClient, thread_id: str, text: str) -> None:
        self.user = user
        self.reading = Reading()
        self._begun = asyncio.Event()
        self._task = asyncio.create_task(
            ask_patiently([user], thread_id, text, client_message_id="c-1", on_event=self._on_event)
        )

    def _on_event(self, reading: Reading) -> None:
        self.reading = reading
        if reading.text:
            self._begun.set()

    async def begun(self) -> None:
        """Wait for the first text."""
        async with asyncio.timeout(60):
            await self._begun.wait()

    async def ended(self) -> Reading:
        return await self._task


@asynccontextmanager
async def being_answered(new_user: UserFactory, count: int, **behaviour: Any) -> AsyncGenerator[list[Asking]]:
    """Have some answers in the middle of being written at the start of a block."""
    users = [await new_user() for _ in range(count)]
    asking = [Asking(user, await user.new_thread(), sim(**behaviour)) for user in users]
    await asyncio.gather(*(one.begun() for one in asking))
    yield asking


async def all_unready(product: FaultyStack) -> bool:
    return all(await asyncio.gather(*map(product.wrong, product.parts)))


async def nothing_waits(product: FaultyStack) -> bool:
    """Tell whether the queues of runs are empty, with their retry tiers."""
    queues = (topology.RUNS, topology.RUN_FINISHED)
    names = [queue.name for queue in queues]
    names += [queue.retry(delay_s) for queue in queues for delay_s in topology.RETRY_DELAYS_S]
    return not any([await product.depth(name) for name in names])


async def test_f5_half_open_links_to_the_broker_are_noticed_and_outlived(
    product: FaultyStack, new_user: UserFactory
):
    other = await new_user()
    thread_id = await other.new_thread()
    async with being_answered(new_user, 1, reply_tokens=60, tokens_per_s=30) as [asking]:
        for proxy in product.links_to("amqp"):
            proxy.swallow_up = proxy.swallow_down = True
        await refusal(other, thread_id)
        reading = await asking.ended()
    assert (reading.status, reading.text) == ("completed", tokens(60))
    # Its usage cannot be announced now. Once its hold's time is up the sweeper books it without the queue,
    # so that the relay of the outbox has something to send over the dead link.
    user_id = asking.user.user_id
    await product.db["accounts"].update_one({"_id": user_id}, {"$set": {"holds.0.expires_at": LONG_AGO}})

    async def is_booked() -> bool:
        return bool(await booked_tokens(product, user_id))

    await product.until(is_booked)
    await product.until(lambda: all_unready(product))
    assert await product.db["ledger_outbox"].count_documents({}) > 0
    assert all([await product.is_alive(part) for part in product.parts])
    product.heal()
    await product.until_ready()
    await product.settled()
    assert (await other.ask(thread_id, sim(reply_tokens=5))).status == "completed"
    await product.settled()
    assert await booked_tokens(product, user_id) == [reading.answer.usage["total_tokens"]]


async def test_f8_a_database_that_is_killed_under_load_loses_nothing(
    product: FaultyStack, new_user: UserFactory
):
    async with being_answered(new_user, 4, reply_tokens=100, tokens_per_s=20) as asking:
        for _ in range(2):
            await product.kill_server("db")
            await product.servers.until_ready("db")
        readings = [await one.ended() for one in asking]
    assert {(reading.status, reading.text) for reading in readings} == {("completed", tokens(100))}
    await product.until_ready()
    await product.settled()
    assert await product.dead_letters() == 0


async def test_f8_without_the_database_nothing_is_acknowledged_and_nothing_spins(
    product: FaultyStack, new_user: UserFactory
):
    [ledger], [worker] = product.ledgers, product.workers
    other = await new_user()
    thread_id = await other.new_thread()
    # What a test before has left in a retry tier would be counted here.
    await product.until(lambda: nothing_waits(product))
    tried = {"queue": topology.RUN_FINISHED.name}
    retried = {"queue": topology.RUNS.name, "outcome": "RetryLater"}
    before = await product.metric(ledger, "chat_messages_consumed_total", **tried)
    retried_before = await product.metric(worker, "chat_messages_consumed_total", **retried)
    async with being_answered(new_user, 3, reply_tokens=60, tokens_per_s=20) as asking:
        with product.away(*product.links_to("db")):
            await refusal(other, thread_id)

            await product.until(lambda: all_unready(product))
            assert all([await product.is_alive(part) for part in product.parts])
        readings = [await one.ended() for one in asking]
    assert {(reading.status, reading.text) for reading in readings} == {("completed", tokens(60))}
    await product.until_ready()
    await product.settled()
    handled = await product.metric(ledger, "chat_messages_consumed_total", **tried) - before
    assert handled == len(readings)
    retries = await product.metric(worker, "chat_messages_consumed_total", **retried) - retried_before
    assert retries <= len(readings)
    assert await product.dead_letters() == 0


async def test_f9_a_commit_whose_answer_is_lost_is_booked_once(product: FaultyStack, new_user: UserFactory):
    [ledger] = product.ledgers
    # Nothing is folded or audited, and the hold is placed: what is committed next is the settlement.
    await ledger.restart(FOLD_EVERY_S="3600", AUDIT_EVERY_S="0")
    link = product.link(ledger, "db")
    for _ in range(5):
        async with being_answered(new_user, 1, reply_tokens=40, tokens_per_s=20) as [asking]:
            user_id = asking.user.user_id
            before = link.swallowed_bytes
            link.swallow_reply_to = b"commitTransaction"

            async def is_booked_unheard(user_id: str = user_id, before: int = before) -> bool:
                return link.swallowed_bytes > before and bool(await booked_tokens(product, user_id))

            await product.until(is_booked_unheard)
            link.heal()
            reading = await asking.ended()
        await product.drained()
        assert await booked_tokens(product, user_id) == [reading.answer.usage["total_tokens"]]
    await ledger.restart(FOLD_EVERY_S="5", AUDIT_EVERY_S="60")
    await product.settled()


async def test_f10_whatever_happens_to_redis_answers_arrive_and_no_balance_moves(
    product: FaultyStack, new_user: UserFactory
):
    other = await new_user()
    thread_id = await other.new_thread()
    async with being_answered(new_user, 3, reply_tokens=200, tokens_per_s=25) as asking:
        async with Redis.from_url(product.servers.urls["redis"]) as redis:
            await redis.flushall()
        await product.kill_server("redis")
        await product.servers.until_ready("redis")
        async with product.frozen_server("redis"):
            assert (await other.ask(thread_id, sim(reply_tokens=5))).status == "completed"
        with product.away(*product.links_to("redis")):
            assert [await product.wrong(part) for part in product.parts] == [[]] * len(product.parts)
            answer = await other.ask(thread_id, sim(reply_tokens=40, tokens_per_s=20))
            assert (answer.status, answer.text) == ("completed", tokens(40))
        readings = [await one.ended() for one in asking]
    assert {(reading.status, reading.text) for reading in readings} == {("completed", tokens(200))}
    await product.settled()
    for one, reading in zip(asking, readings, strict=True):
        assert await booked_tokens(product, one.user.user_id) == [reading.answer.usage["total_tokens"]]


@asynccontextmanager
async def alarm(product: FaultyStack, kind: str) -> AsyncGenerator[None]:
    async with product.memory_alarm() if kind == "memory" else product.disk_alarm():
        yield


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "lasts_s"), [("memory", 60.0), ("disk", 5.0)])
async def test_f20_f29_while_the_broker_takes_nothing_sends_are_refused_and_answers_end(
    product: FaultyStack, new_user: UserFactory, kind: str, lasts_s: float
):
    other = await new_user()
    thread_id = await other.new_thread()
    async with being_answered(new_user, 2, reply_tokens=100, tokens_per_s=20) as asking:
        async with alarm(product, kind):
            await refusal(other, thread_id)
            readings = [await one.ended() for one in asking]
            assert all([await product.is_alive(part) for part in product.parts])
            # As long as an operator may need: what tries again meanwhile must not run out of attempts.
            await asyncio.sleep(lasts_s)
            await refusal(other, thread_id)
        await product.until_ready()
    assert {(reading.status, reading.text) for reading in readings} == {("completed", tokens(100))}
    await product.settled()
    for one, reading in zip(asking, readings, strict=True):
        assert await booked_tokens(product, one.user.user_id) == [reading.answer.usage["total_tokens"]]
    assert await booked_tokens(product, other.user_id) == []
    answer = await other.ask(thread_id, sim(reply_tokens=5))
    await product.settled()
    assert await booked_tokens(product, other.user_id) == [answer.usage["total_tokens"]]
    assert await product.dead_letters() == 0


async def test_without_the_ledger_sends_are_refused_and_reading_goes_on(
    product: FaultyStack, new_user: UserFactory
):
    reader, other = await new_user(), await new_user()
    thread_id = await reader.new_thread()
    read = await reader.ask(thread_id, sim(reply_tokens=20))
    new_thread_id = await other.new_thread()
    async with being_answered(new_user, 1, reply_tokens=60, tokens_per_s=20) as [asking]:
        with frozen(*(ledger.program for ledger in product.ledgers)):
            await refusal(other, new_thread_id)
            assert (await other.http.get("/chat/threads")).status_code == httpx.codes.OK
            thread = (await reader.http.get(f"/chat/threads/{thread_id}")).json()["thread"]
            assert thread["messages"][-1]["text"] == read.text
            replayed: Answer = await reader.replay(read.run_id)
            assert replayed.text == read.text
            reading = await asking.ended()
    assert (reading.status, reading.text) == ("completed", tokens(60))
    await product.settled()
    assert await booked_tokens(product, other.user_id) == []
    assert (await other.ask(new_thread_id, sim(reply_tokens=5))).status == "completed"
    await product.settled()


PROVIDER_FAULTS: dict[str, tuple[dict[str, Any], str, int, bool]] = {
    # behaviour, how the run ends, requests to the provider, whether its usage is an estimate
    "busy for a while": ({"status": 429, "retry_after_s": 0.2, "times": 2}, "completed", 3, False),
    "failing for good": ({"status": 500, "times": 9}, "failed", 4, False),
    "refusing": ({"status": 400}, "failed", 1, False),
    "no answer but a reset": ({"fault": "reset"}, "completed", 2, False),
    "no answer at all": ({"fault": "hang"}, "completed", 2, False),
    "cut before the first text": ({"fault": "cut", "after_deltas": 0}, "completed", 2, False),
    "cut before any text twice": ({"fault": "cut", "after_deltas": 0, "times": 2}, "interrupted", 2, False),
    "cut in the middle": ({"fault": "cut", "after_deltas": 5}, "interrupted", 1, True),
    "cut before its usage": ({"fault": "eof", "after_deltas": 20}, "interrupted", 1, True),
    "silent in the middle": ({"fault": "stall", "after_deltas": 5}, "interrupted", 1, True),
    "broken JSON": ({"fault": "malformed", "after_deltas": 5}, "interrupted", 1, True),
    "an error in the middle": ({"fault": "error", "after_deltas": 5}, "failed", 1, True),
    "no usage": ({"usage": "missing"}, "completed", 1, True),
}


async def test_f19_however_the_provider_fails_the_run_ends_and_its_hold_is_closed(
    product: FaultyStack, new_user: UserFactory
):
    async def ask(behaviour: dict[str, Any]) -> Reading:
        user = await new_user()
        text = sim(reply_tokens=20, **behaviour)
        return await ask_patiently([user], await user.new_thread(), text, client_message_id="c-1")

    readings = await asyncio.gather(*(ask(behaviour) for behaviour, *_ in PROVIDER_FAULTS.values()))
    await product.settled()
    async with httpx.AsyncClient(base_url=product.simulator_url, timeout=30) as http:
        posts = (await http.get("/_sim/journal")).json()["posts"]
    found: dict[str, tuple[str | None, int, bool]] = {}
    for name, reading in zip(PROVIDER_FAULTS, readings, strict=True):
        [row] = await product.usage_rows(run_id=reading.run_id)
        found[name] = (reading.status, posts[reading.run_id], row["estimated"])
        assert tokens(20).startswith(reading.text)
        assert (row["tokens"] == 0) is (reading.text == "")
    assert found == {name: tuple(expected) for name, (_, *expected) in PROVIDER_FAULTS.items()}
