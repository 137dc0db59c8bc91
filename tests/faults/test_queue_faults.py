"""The queue restarts, loses confirmations, is full, unbound or deleted; messages are poison or too many."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aio_pika
import httpx
import psutil
import pytest

from common.amqp import topology
from common.amqp.broker import Broker
from common.amqp.delivery import Delivery, Outcome, RetryLater
from common.errors import Unavailable
from common.events.runs import RunFinishedV1, RunRequestedV1
from common.ids import new_id
from support.chat_client import Answer, ChatClient
from support.faulty_stack import FaultyStack, frozen, refusal, running_faulty_stack
from support.finished_runs import TOKENS, booked_tokens, store_finished_runs
from support.patient import ask_patiently
from support.proxy import running_proxy
from support.servers import PrivateServers
from support.sim import sim

MIB = 1024 * 1024
PREFETCH = 100
"""What the ledger takes off the queue at once: two of its batches."""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
async def product(
    mortal_servers: PrivateServers, mortal_management: httpx.AsyncClient
) -> AsyncGenerator[FaultyStack]:
    async with running_faulty_stack(
        mortal_servers, mortal_management, env={"RUNS_PER_USER": "50", "STREAMS_PER_USER": "50"}
    ) as stack:
        yield stack


@pytest.fixture
async def user(product: FaultyStack) -> ChatClient:
    """A user of the test's own, with an account."""
    client = product.client(new_id("q"))
    await client.open()
    return client


@asynccontextmanager
async def unbound(product: FaultyStack, queue: topology.Queue, routing_key: str) -> AsyncGenerator[None]:
    """Take a queue's binding away for the length of a block."""
    async with await aio_pika.connect(product.env["AMQP_URL"]) as connection:
        bound = await (await connection.channel()).get_queue(queue.name)
        await bound.unbind(topology.EVENTS_EXCHANGE, routing_key)
        try:
            yield
        finally:
            await bound.bind(topology.EVENTS_EXCHANGE, routing_key)


async def publish_surely(broker: Broker, event: RunFinishedV1, *, deadline_s: float = 5.0) -> None:
    """Publish as a worker does: what was refused or not confirmed is sent again, under the same id."""
    while True:
        try:
            return await broker.publisher.publish(event, deadline_s=deadline_s)
        except Unavailable:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
async def test_f3_a_broker_that_ends_loses_nothing_that_it_confirmed(
    product: FaultyStack, user: ChatClient, number: signal.Signals
):
    events = iter(await store_finished_runs(product, user.user_id, 1_000))
    confirmed = 0
    enough = asyncio.Event()

    async def publish_some(broker: Broker) -> None:
        nonlocal confirmed
        for event in events:
            await publish_surely(broker, event)
            confirmed += 1
            if confirmed == 300:
                enough.set()

    async with Broker(product.env["AMQP_URL"], service="test") as broker:
        # Nothing is taken off the queue, so all that is confirmed has to outlive the broker.
        with frozen(product.ledgers[0].program):
            publishing = asyncio.gather(*(publish_some(broker) for _ in range(10)))
            await enough.wait()
            await product.kill_server("amqp", number)
            await product.servers.until_ready("amqp")
            await publishing
    await product.until_ready()
    await product.settled()
    assert await booked_tokens(product, user.user_id) == [TOKENS] * 1_000
    assert await product.dead_letters() == 0


async def test_f4_a_lost_confirmation_makes_a_duplicate_that_is_booked_once(
    product: FaultyStack, user: ChatClient
):
    events = await store_finished_runs(product, user.user_id, 200)
    [ledger] = product.ledgers
    await ledger.program.close()

    async def queue_has(count: int) -> bool:
        return await product.depth(topology.RUN_FINISHED.name) == count

    async with (
        running_proxy(product.env["AMQP_URL"]) as proxy,
        Broker(proxy.url(product.env["AMQP_URL"]), service="test") as broker,
    ):
        await broker.publisher.publish(events[0], deadline_s=30)
        for start in range(0, 200, 40):
            proxy.swallow_down = True
            # With time to hear of it until the link is healed: only then is each sent once more.
            some = [
                asyncio.create_task(publish_surely(broker, event, deadline_s=60))
                for event in events[start : start + 40]
            ]
            # The broker has them all; that it confirmed them is what nobody hears.
            await product.until(lambda start=start: queue_has(1 + 2 * start + 40))
            proxy.heal()
            await asyncio.gather(*some)
    await product.until(lambda: queue_has(1 + 2 * 200))
    await ledger.restart()
    await product.settled()
    assert await booked_tokens(product, user.user_id) == [TOKENS] * 200

    async def all_are_handled() -> bool:
        return await product.metric(ledger, "chat_ledger_settled_total", result="repeated") == 201

    await product.until(all_are_handled)
    assert await product.dead_letters() == 0


async def test_f14_poison_is_set_aside_and_its_neighbours_are_booked(product: FaultyStack, user: ChatClient):
    events = await store_finished_runs(product, user.user_id, 200)
    good = RunFinishedV1.routing_key()
    poison = [(b"{", good), (b"{}", good), (b"{}", "run.finished.v9"), (b"", ""), (b"x" * 4 * MIB, good)]
    async with (
        Broker(product.env["AMQP_URL"], service="test") as broker,
        await aio_pika.connect(product.env["AMQP_URL"]) as connection,
    ):
        channel = await connection.channel()
        for number, (body, kind) in enumerate(poison):
            await asyncio.gather(
                *(
                    broker.publisher.publish(event, deadline_s=30)
                    for event in events[40 * number : 40 * number + 40]
                )
            )
            message = aio_pika.Message(body, type=kind, message_id=f"poison-{number}")
            await channel.default_exchange.publish(message, topology.RUN_FINISHED.name)
        await product.settled()
        letters = broker.dead_letters()

        async def all_are_set_aside() -> bool:
            return await letters.depth(topology.RUN_FINISHED) == len(poison)

        await product.until(all_are_set_aside)
        found = await letters.drop(topology.RUN_FINISHED, [f"poison-{n}" for n in range(len(poison))])
    assert [letter.attempts for letter in found] == [1] * len(poison)
    assert await booked_tokens(product, user.user_id) == [TOKENS] * 200


async def crash_loop(amqp_url: str, queue: topology.Queue, *, crashes: int, prefetch: int) -> None:
    """Take messages and die with them, again and again."""
    for _ in range(crashes):
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch)
            taken = asyncio.Semaphore(0)
            source = await channel.get_queue(queue.name)

            async def take(_: aio_pika.abc.AbstractIncomingMessage, taken: asyncio.Semaphore = taken) -> None:
                taken.release()

            await source.consume(take)
            async with asyncio.timeout(30):
                for _ in range(prefetch):
                    await taken.acquire()


async def test_f14b_f15_a_crash_loop_kills_neighbours_too_and_a_replay_applies_each_once(
    product: FaultyStack, user: ChatClient
):
    """The broker sets aside all that a crashing consumer had. Such letters carry the history of their
    deaths, and a copy that kept it would vanish in the retry tier that the replayed ones go through here.
    """
    count = 20
    events = await store_finished_runs(product, user.user_id, count)
    [ledger] = product.ledgers
    await ledger.program.close()

    tried: set[str] = set()

    async def not_now(deliveries: list[Delivery]) -> list[Outcome]:
        tried.update(delivery.message_id for delivery in deliveries)
        # Not as one that lacks something: its consumer would brake, and keep them from the tier.
        return [RetryLater("not now", cause="bug") for _ in deliveries]

    async with Broker(product.env["AMQP_URL"], service="test") as broker:
        await asyncio.gather(*(broker.publisher.publish(event, deadline_s=30) for event in events))
        crashes = topology.RUN_FINISHED.delivery_limit + 1
        await crash_loop(product.env["AMQP_URL"], topology.RUN_FINISHED, crashes=crashes, prefetch=count)
        letters = broker.dead_letters()

        async def all_are_dead() -> bool:
            return await letters.depth(topology.RUN_FINISHED) == count

        async def all_were_tried() -> bool:
            return len(tried) == count

        await product.until(all_are_dead)
        assert {letter.reason for letter in await letters.look(topology.RUN_FINISHED)} == {"delivery_limit"}
        assert len(await letters.replay(topology.RUN_FINISHED, None, by="test")) == count
        await broker.consume_batches(topology.RUN_FINISHED, not_now, batch_max=count)
        await product.until(all_were_tried)
        await broker.drain(grace_s=20)
    await ledger.restart()
    await product.settled()
    assert await booked_tokens(product, user.user_id) == [TOKENS] * count
    assert await product.dead_letters() == 0


async def test_f21_a_full_queue_refuses_and_what_it_took_is_answered(product: FaultyStack, user: ChatClient):
    [worker] = product.workers
    threads = [await user.new_thread() for _ in range(10)]
    policy = f"/api/policies/{product.vhost}/small"
    definition = {"pattern": topology.RUNS.name, "definition": {"max-length": 3}, "apply-to": "queues"}
    (await product.management.put(policy, json=definition)).raise_for_status()
    try:
        await worker.program.close()
        await until_policy_counts(product, topology.RUNS)
        asking = [asyncio.create_task(user.ask(thread, sim(reply_tokens=5))) for thread in threads]

        async def all_are_decided() -> bool:
            return sum(task.done() for task in asking) + await product.depth(topology.RUNS.name) == len(
                asking
            )

        await product.until(all_are_decided)
    finally:
        (await product.management.delete(policy)).raise_for_status()
    await worker.restart()
    results = await asyncio.gather(*asking, return_exceptions=True)
    refused = [result for result in results if isinstance(result, httpx.HTTPStatusError)]
    answers = [result for result in results if isinstance(result, Answer)]
    assert 0 < len(answers) < len(threads)
    assert len(answers) + len(refused) == len(threads)
    assert {refusal.response.json()["code"] for refusal in refused} == {"publish_failed"}
    assert {answer.status for answer in answers} == {"completed"}
    await product.settled()
    assert len(await booked_tokens(product, user.user_id)) == len(answers)


async def until_policy_counts(product: FaultyStack, queue: topology.Queue) -> None:
    async def has_policy() -> bool:
        answer = await product.management.get(f"/api/queues/{product.vhost}/{queue.name}")
        return answer.json().get("policy") == "small"

    await product.until(has_policy)


async def test_f22_a_message_that_nobody_would_get_is_refused_and_holds_nothing(
    product: FaultyStack, user: ChatClient
):
    thread_id = await user.new_thread()
    async with unbound(product, topology.RUNS, RunRequestedV1.routing_key()):
        assert await refusal(user, thread_id) == "publish_failed"

    async def nothing_is_held() -> bool:
        return (await product.account(user.user_id))["held"] == 0

    # What cannot be released at once is released by and by.
    await product.until(nothing_is_held)
    assert (await user.ask(thread_id, sim(reply_tokens=5))).status == "completed"
    await product.settled()


async def test_f22_usage_that_nobody_would_book_is_announced_until_somebody_does(
    product: FaultyStack, user: ChatClient
):
    threads = [await user.new_thread() for _ in range(50)]
    async with unbound(product, topology.RUN_FINISHED, RunFinishedV1.routing_key()):
        asking = [
            asyncio.create_task(ask_patiently([user], thread, sim(reply_tokens=5), client_message_id=thread))
            for thread in threads
        ]

        async def many_have_ended() -> bool:
            ended = {"user_id": user.user_id, "state": "completed"}
            return await product.db["runs"].count_documents(ended) >= 15

        await product.until(many_have_ended)
        # The ledger may find an end among the runs by itself, half a minute later.
        assert await product.usage_rows(user_id=user.user_id, actor="chat-worker") == []
    readings = await asyncio.gather(*asking)
    await product.settled()
    used = sorted(reading.answer.usage["total_tokens"] for reading in readings)
    # A message that was refused for the moment, and sent again, may have a run that cost nothing.
    assert sorted(cost for cost in await booked_tokens(product, user.user_id) if cost) == used
    assert await product.dead_letters() == 0


async def test_f23_queues_deleted_with_all_that_was_in_them_lose_no_usage(
    product: FaultyStack, user: ChatClient
):
    """The queues are there again with their consumers; what was to be booked is found among the runs."""
    [ledger] = product.ledgers
    threads = [await user.new_thread() for _ in range(3)]
    asking = [
        asyncio.create_task(user.ask(thread, sim(reply_tokens=40, tokens_per_s=3))) for thread in threads
    ]

    async def all_are_going_on() -> bool:
        return await product.db["runs"].count_documents({"user_id": user.user_id}) == len(threads)

    async def all_are_waiting() -> bool:
        return await product.depth(topology.RUN_FINISHED.name) == len(threads)

    async def all_are_consumed() -> bool:
        return all([await product.consumers(queue.name) for queue in (topology.RUNS, topology.RUN_FINISHED)])

    await product.until(all_are_going_on)
    await ledger.program.close()
    answers = await asyncio.gather(*asking)
    await product.until(all_are_waiting)
    for queue in (topology.RUNS, topology.RUN_FINISHED):
        path = f"/api/queues/{product.vhost}/{queue.name}"
        (await product.management.delete(path)).raise_for_status()
    assert await booked_tokens(product, user.user_id) == []
    await ledger.restart()
    await product.until(all_are_consumed)
    # Their time is up a quarter of an hour after they were placed: too long to wait for here.
    await product.db["accounts"].update_one(
        {"_id": user.user_id}, {"$set": {"holds.$[].expires_at": LONG_AGO}}
    )
    await product.settled()
    used = sorted(answer.usage["total_tokens"] for answer in answers)
    assert sorted(await booked_tokens(product, user.user_id)) == used
    assert (await user.ask(threads[0], sim(reply_tokens=5))).status == "completed"
    await product.settled()


async def test_f31_a_burst_waits_in_the_queue_and_not_in_memory(product: FaultyStack, user: ChatClient):
    [ledger] = product.ledgers
    events = await store_finished_runs(product, user.user_id, 1_000)
    process = psutil.Process(ledger.program.pid)
    before = process.memory_info().rss
    async with Broker(product.env["AMQP_URL"], service="test") as broker:
        with frozen(ledger.program):
            for start in range(0, len(events), 200):
                await asyncio.gather(
                    *(broker.publisher.publish(event, deadline_s=30) for event in events[start : start + 200])
                )

            async def all_others_wait() -> bool:
                return await product.depth(topology.RUN_FINISHED.name) >= len(events) - PREFETCH

            await product.until(all_others_wait)
    await product.settled()
    assert await booked_tokens(product, user.user_id) == [TOKENS] * len(events)
    assert process.memory_info().rss - before < 50 * MIB
