"""The AMQP runtime on a real broker: outcomes, retries, request-reply, lost connections."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import aio_pika
import pytest

from common.amqp import topology
from common.amqp.broker import Broker
from common.amqp.delivery import DeadLetter, Delivery, Done, Outcome, RetryLater
from common.amqp.rpc import CommandHandler
from common.errors import Conflict, Malformed, PublishFailed, PublishUnknown, Unavailable
from common.events.envelope import Command, TokenUsage
from common.events.ledger import AccountReply, AccountView, OpenAccountV1, ReleaseHoldV1
from common.events.runs import RunCancelRequestedV1, RunFinishedV1

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PUBLISHED_WITHIN_S = 30.0
ACCOUNT = AccountView(
    user_id="u1", token_balance=5, token_held=0, token_available=5, token_grant=5, sequence=1
)


def finished(run_id: str) -> RunFinishedV1:
    return RunFinishedV1(
        event_id=run_id,
        occurred_at=NOW,
        run_id=run_id,
        thread_id="t1",
        user_id="u1",
        company=None,
        status="completed",
        usage=TokenUsage(),
        usage_source="none",
        model="m",
        assistant="a@1",
        attempt=1,
    )


async def until(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.05)


async def first_message(amqp_url: str, queue_name: str) -> aio_pika.abc.AbstractIncomingMessage:
    async with await aio_pika.connect(amqp_url) as connection:
        queue = await (await connection.channel()).get_queue(queue_name)
        async with asyncio.timeout(60):
            while (message := await queue.get(fail=False)) is None:
                await asyncio.sleep(0.1)
        await message.ack()
        return message


def recording(
    seen: list[Delivery], outcome: Callable[[Delivery], Outcome]
) -> Callable[[Delivery], Awaitable[Outcome]]:
    async def handle(delivery: Delivery) -> Outcome:
        seen.append(delivery)
        return outcome(delivery)

    return handle


async def test_a_message_that_is_not_for_now_comes_back_from_the_retry_tier(amqp_url: str):
    seen: list[Delivery] = []
    async with Broker(amqp_url, service="test") as broker:
        handler = recording(seen, lambda delivery: RetryLater("later") if delivery.attempt == 1 else Done())
        await broker.consume(topology.RUN_FINISHED, handler, prefetch=10)
        await broker.publisher.publish(finished("r_1"), deadline_s=PUBLISHED_WITHIN_S)
        await until(lambda: len(seen) == 2)
    assert [delivery.attempt for delivery in seen] == [1, 2]
    assert {delivery.message_id for delivery in seen} == {"r_1"}


async def test_a_message_is_kept_while_there_is_no_place_for_its_copy(amqp_url: str):
    """It is not given back: that would be a delivery more, and after the last one it would be set aside."""
    seen: list[Delivery] = []
    tier = topology.RUN_FINISHED.retry(topology.RETRY_DELAYS_S[0])
    async with Broker(amqp_url, service="test") as broker, await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(tier)
        handler = recording(seen, lambda delivery: RetryLater("later") if delivery.attempt == 1 else Done())
        await broker.consume(topology.RUN_FINISHED, handler, prefetch=10)
        await broker.publisher.publish(finished("r_1"), deadline_s=PUBLISHED_WITHIN_S)
        # Its copy is under way in the same turn of the loop, and the tier is declared some round trips later.
        await until(lambda: len(seen) == 1)
        await topology.declare(channel)
        await until(lambda: len(seen) == 2)
    assert [(delivery.attempt, delivery.redelivered) for delivery in seen] == [(1, False), (2, False)]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (lambda _: DeadLetter("will never work"), "will never work"),
        (lambda _: _raise(Malformed("bad")), "bad"),
    ],
)
async def test_what_never_works_is_set_aside_with_its_reason(amqp_url: str, outcome, reason: str):
    async with Broker(amqp_url, service="test") as broker:
        await broker.consume(topology.RUN_FINISHED, recording([], outcome), prefetch=10)
        await broker.publisher.publish(finished("r_1"), deadline_s=PUBLISHED_WITHIN_S)
        dead = await first_message(amqp_url, topology.RUN_FINISHED.dead)
    assert dead.headers["x-dead-reason"] == reason
    assert (dead.message_id, dead.type) == ("r_1", "run.finished.v1")


async def test_bytes_that_are_no_event_are_set_aside_and_their_neighbours_are_handled(amqp_url: str):
    seen: list[Delivery] = []
    async with Broker(amqp_url, service="test") as broker:
        await broker.consume(topology.RUN_FINISHED, recording(seen, lambda _: Done()), prefetch=10)
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel()
            for body, kind in (
                (b"{", "run.finished.v1"),
                (b"{}", "run.finished.v1"),
                (b"{}", "run.unknown.v9"),
            ):
                message = aio_pika.Message(body, type=kind)
                await channel.default_exchange.publish(message, topology.RUN_FINISHED.name)
        await broker.publisher.publish(finished("r_good"), deadline_s=PUBLISHED_WITHIN_S)
        reasons = [
            str((await first_message(amqp_url, topology.RUN_FINISHED.dead)).headers["x-dead-reason"])
            for _ in range(3)
        ]
        await until(lambda: len(seen) == 1)
    assert any("unknown message type" in reason for reason in reasons)
    assert sum("does not fit its schema" in reason for reason in reasons) == 2


async def test_a_handler_outlives_the_connection_that_delivered_its_message(amqp_url: str, close_connections):
    started, ended, cancelled = 0, 0, 0
    release = asyncio.Event()

    async def handle(delivery: Delivery) -> Outcome:
        nonlocal started, ended, cancelled
        started += 1
        try:
            await release.wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise
        ended += 1
        return Done()

    async with Broker(amqp_url, service="test") as broker:
        await broker.consume(topology.RUN_FINISHED, handle, prefetch=10)
        await broker.publisher.publish(finished("r_1"), deadline_s=PUBLISHED_WITHIN_S)
        await until(lambda: started == 1)
        await close_connections()
        await until(lambda: started == 2)
        release.set()
        await until(lambda: ended == 2)
    assert cancelled == 0


async def test_publishing_goes_on_after_a_lost_connection(amqp_url: str, close_connections):
    seen: list[Delivery] = []
    async with Broker(amqp_url, service="test") as broker:
        await broker.consume(topology.RUN_FINISHED, recording(seen, lambda _: Done()), prefetch=50)
        for number in range(20):
            if number == 10:
                await close_connections()
            await broker.publisher.publish(finished(f"r_{number}"), deadline_s=PUBLISHED_WITHIN_S)
        await until(lambda: len({delivery.message_id for delivery in seen}) == 20)
        async with asyncio.timeout(60):
            while await broker.check():
                await asyncio.sleep(0.05)


async def test_an_unroutable_event_is_no_success(amqp_url: str):
    async with Broker(amqp_url, service="test") as broker:
        async with await aio_pika.connect(amqp_url) as connection:
            queue = await (await connection.channel()).get_queue(topology.RUN_FINISHED.name)
            await queue.unbind(topology.EVENTS_EXCHANGE, RunFinishedV1.routing_key())
        with pytest.raises(PublishFailed):
            await broker.publisher.publish(finished("r_1"), deadline_s=PUBLISHED_WITHIN_S)


async def test_news_that_nobody_waits_for_is_no_failure(amqp_url: str):
    async with Broker(amqp_url, service="test") as broker:
        await broker.publisher.publish(
            RunCancelRequestedV1(event_id="e", occurred_at=NOW, run_id="r"), deadline_s=PUBLISHED_WITHIN_S
        )


async def test_a_broker_that_is_gone_leaves_the_outcome_unknown(amqp_url: str):
    async with Broker(amqp_url, service="test") as broker:
        publisher = broker.publisher
        await publisher.publish(finished("r_1"), deadline_s=PUBLISHED_WITHIN_S)
    with pytest.raises(PublishUnknown):
        await publisher.publish(finished("r_2"), deadline_s=0.5)


async def test_a_batch_gathers_what_arrived_while_the_last_one_was_handled(amqp_url: str):
    sizes: list[int] = []
    first = asyncio.Event()

    async def handle(batch: list[Delivery]) -> list[Outcome]:
        sizes.append(len(batch))
        if len(sizes) == 1:
            await first.wait()
        return [Done() for _ in batch]

    async with Broker(amqp_url, service="test") as broker:
        await broker.consume_batches(topology.RUN_FINISHED, handle, batch_max=20)
        await broker.publisher.publish(finished("r_0"), deadline_s=PUBLISHED_WITHIN_S)
        await until(lambda: len(sizes) == 1)
        await asyncio.gather(
            *(
                broker.publisher.publish(finished(f"r_{n}"), deadline_s=PUBLISHED_WITHIN_S)
                for n in range(1, 31)
            )
        )
        first.set()
        await until(lambda: sum(sizes) == 31)
        await broker.drain(grace_s=20)
    assert sizes[0] == 1
    assert 1 < max(sizes) <= 20


async def test_one_settler_works_while_the_other_stands_by(amqp_url: str):
    seen_a: list[Delivery] = []
    seen_b: list[Delivery] = []
    async with Broker(amqp_url, service="a") as a, Broker(amqp_url, service="b") as b:
        await a.consume(topology.RUN_FINISHED, recording(seen_a, lambda _: Done()), prefetch=1)
        await b.consume(topology.RUN_FINISHED, recording(seen_b, lambda _: Done()), prefetch=1)
        for number in range(10):
            await a.publisher.publish(finished(f"r_{number}"), deadline_s=PUBLISHED_WITHIN_S)
        await until(lambda: len(seen_a) + len(seen_b) == 10)
        assert [len(seen_a), len(seen_b)] == [10, 0]
        await a.drain(grace_s=20)
        await b.publisher.publish(finished("r_next"), deadline_s=PUBLISHED_WITHIN_S)
        await until(lambda: len(seen_b) == 1)


async def test_a_command_is_answered_or_refused_with_the_same_error(amqp_url: str):
    async def open_account(command: OpenAccountV1) -> AccountReply:
        return AccountReply(account=ACCOUNT.model_copy(update={"user_id": command.user_id}))

    async def release(_: ReleaseHoldV1) -> AccountReply:
        raise Conflict("moved", balance=7)

    async with Broker(amqp_url, service="ledger") as server, Broker(amqp_url, service="gateway") as gateway:
        handlers: dict[type[Command], CommandHandler] = {OpenAccountV1: open_account, ReleaseHoldV1: release}
        await server.serve_rpc(topology.LEDGER_RPC, handlers, prefetch=10)
        client = await gateway.rpc_client()
        command = OpenAccountV1(request_id="q_1", user_id="u7", user_name=None, email=None, company=None)
        assert (await client.call(command, AccountReply, deadline_s=30)).account.user_id == "u7"
        with pytest.raises(Conflict) as refusal:
            await client.call(
                ReleaseHoldV1(request_id="q_2", run_id="r", user_id="u"), AccountReply, deadline_s=30
            )
    assert (refusal.value.detail, refusal.value.extra) == ("moved", {"balance": 7})


async def test_a_command_that_nobody_answers_is_unavailable_in_time(amqp_url: str):
    async with Broker(amqp_url, service="gateway") as gateway:
        client = await gateway.rpc_client()
        command = OpenAccountV1(request_id="q_1", user_id="u7", user_name=None, email=None, company=None)
        with pytest.raises(Unavailable):
            await client.call(command, AccountReply, deadline_s=0.5)


async def test_declaring_everything_twice_is_no_conflict(amqp_url: str):
    async with Broker(amqp_url, service="one"), Broker(amqp_url, service="two"):
        pass


def _raise(error: Exception) -> Outcome:
    raise error
