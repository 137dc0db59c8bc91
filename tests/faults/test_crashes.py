"""Nothing is lost and nothing is charged twice, whoever is killed and wherever."""

import asyncio
import signal
from typing import Any

import aio_pika
import pytest

from chat_worker.runs.records import finished_event, request_of
from common.amqp import topology
from common.amqp.publisher import encode
from common.events.envelope import Event
from support.chat_client import Answer
from support.processes import Program
from support.sim import sim
from support.stack import Part, Stack, running_stack


async def deliver_often(amqp_url: str, event: Event, queue: topology.Queue, *, times: int) -> None:
    """Put copies of an event into a queue, over several channels at once."""
    async with await aio_pika.connect(amqp_url) as connection:
        channels = [await connection.channel() for _ in range(4)]
        for number in range(times):
            message = aio_pika.Message(encode(event), type=event.routing_key(), message_id=event.event_id)
            await channels[number % 4].default_exchange.publish(message, queue.name)


async def lose_message(amqp_url: str, queue: topology.Queue) -> None:
    """Take the next message out of a queue, once it is there."""
    async with await aio_pika.connect(amqp_url) as connection:
        found = await (await connection.channel()).get_queue(queue.name)
        async with asyncio.timeout(60):
            while (message := await found.get(fail=False)) is None:
                await asyncio.sleep(0.1)
        await message.ack()


async def provider_calls(stack: Stack, run_id: str) -> int:
    return sum(response["run_id"] == run_id for response in await stack.journal())


async def end_of_crash(part: Part) -> None:
    assert await part.program.ended(within_s=60) == -signal.SIGKILL


async def settled_once(stack: Stack, run_id: str) -> dict[str, Any]:
    await stack.drained()
    rows = await stack.usage_rows(run_id=run_id)
    assert len(rows) == 1
    account = await stack.account("u1")
    assert (account["held"], account["holds"]) == (0, [])
    await stack.audit()
    return rows[0]


WORKER_KILLED: dict[str, dict[str, Any]] = {
    "before the first chunk": {"first_token_delay_s": 10.0, "reply_tokens": 20},
    "in the middle": {"reply_tokens": 200, "tokens_per_s": 20},
}


@pytest.mark.parametrize("behaviour", WORKER_KILLED.values(), ids=WORKER_KILLED.keys())
@pytest.mark.parametrize("assistant", ["test", "test-background"])
async def test_f1_a_worker_killed_while_it_streams(
    db_url: str, amqp_url: str, redis_url: str, behaviour: dict[str, Any], assistant: str
):
    env = {"OAI_ASSISTANT": assistant}
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, env=env) as stack:
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        answer = Answer()
        killed = False
        async for event in user.send(thread_id, sim(**behaviour)):
            answer.events.append(event)
            in_the_middle = event.kind == "delta" and len(answer.events) >= 5
            if not killed and ("tokens_per_s" not in behaviour or in_the_middle):
                killed = True

                async def is_asked(run_id: str = answer.run_id) -> bool:
                    return await provider_calls(stack, run_id) == 1

                await stack.until(is_asked)
                stack.workers[0].program.send(signal.SIGKILL)
                await end_of_crash(stack.workers[0])
                await stack.workers[0].restart()
        row = await settled_once(stack, answer.run_id)
        run = await stack.db["runs"].find_one({"_id": answer.run_id})
        assert run is not None
        assert run["text"] == answer.text
        if assistant == "test-background" or "tokens_per_s" not in behaviour:
            assert (run["state"], row["estimated"]) == ("completed", False)
        else:
            assert (run["state"], row["estimated"]) == ("interrupted", True)
        # Asked once more only where nothing had come and the provider keeps nothing.
        is_lost = assistant == "test" and "tokens_per_s" not in behaviour
        assert await provider_calls(stack, answer.run_id) == (2 if is_lost else 1)


@pytest.mark.parametrize("place", ["worker.before_end", "worker.before_publish", "worker.before_ack"])
async def test_f1_a_worker_killed_at_the_end_of_a_run(db_url: str, amqp_url: str, redis_url: str, place: str):
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, workers=0) as stack:
        doomed = await stack.add("chat_worker", CRASH_AT=place)
        await doomed.until_ready()
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        asking = asyncio.create_task(user.ask(thread_id, sim(reply_tokens=20)))
        await end_of_crash(doomed)
        await doomed.restart(CRASH_AT="")
        answer = await asking
        await settled_once(stack, answer.run_id)
        run = await stack.db["runs"].find_one({"_id": answer.run_id})
        assert run is not None
        assert (run["text"], run["state"]) == (answer.text, answer.status)
        assert await provider_calls(stack, answer.run_id) == 1


@pytest.mark.parametrize("place", ["ledger.before_commit", "ledger.after_commit"])
async def test_f2_a_ledger_killed_around_its_commit(db_url: str, amqp_url: str, redis_url: str, place: str):
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, ledgers=0) as stack:
        doomed = await stack.add("usage_ledger", CRASH_AT=place)
        await doomed.until_ready()
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        answer = await user.ask(thread_id, sim(reply_tokens=20))
        await end_of_crash(doomed)
        await doomed.restart(CRASH_AT="")
        row = await settled_once(stack, answer.run_id)
        assert -int(str(row["tokens"])) == answer.usage["total_tokens"]


async def test_f6_a_run_delivered_fifty_times_is_settled_once(db_url: str, amqp_url: str, redis_url: str):
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, ledgers=2) as stack:
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        answer = await user.ask(thread_id, sim(reply_tokens=20))
        run = await stack.db["runs"].find_one({"_id": answer.run_id})
        assert run is not None
        await deliver_often(amqp_url, finished_event(run), topology.RUN_FINISHED, times=50)

        async def all_settled() -> bool:
            name = "chat_ledger_settled_total"
            counts = [await stack.metric(ledger, name, result="repeated") for ledger in stack.ledgers]
            return sum(counts) >= 50

        await stack.until(all_settled)
        await settled_once(stack, answer.run_id)


async def test_f6_a_request_delivered_fifty_times_is_one_call_and_one_settlement(
    db_url: str, amqp_url: str, redis_url: str
):
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, workers=2) as stack:
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        answer = Answer()
        async for event in user.send(thread_id, sim(reply_tokens=60, tokens_per_s=30)):
            answer.events.append(event)
            if len(answer.events) == 3:
                run = await stack.db["runs"].find_one({"_id": answer.run_id})
                assert run is not None
                await deliver_often(amqp_url, request_of(run), topology.RUNS, times=50)

        async def all_handled() -> bool:
            name, labels = "chat_messages_consumed_total", {"queue": topology.RUNS.name, "outcome": "Done"}
            counts = [await stack.metric(worker, name, **labels) for worker in stack.workers]
            return sum(counts) >= 51

        await stack.until(all_handled)
        row = await settled_once(stack, answer.run_id)
        assert (answer.status, row["estimated"]) == ("completed", False)
        assert await provider_calls(stack, answer.run_id) == 1


async def test_f24_a_frozen_worker_that_wakes_up_cannot_write_any_more(
    db_url: str, amqp_url: str, redis_url: str
):
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url) as stack:
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        answer = Answer()
        stream = user.send(thread_id, sim(reply_tokens=400, tokens_per_s=20))
        while len(answer.events) < 5:
            answer.events.append(await anext(stream))
        frozen: Program = stack.workers[0].program
        frozen.send(signal.SIGSTOP)
        try:
            await (await stack.add("chat_worker")).until_ready()
            async for event in stream:
                answer.events.append(event)
        finally:
            frozen.send(signal.SIGCONT)
        await asyncio.sleep(3)
        run = await stack.db["runs"].find_one({"_id": answer.run_id})
        assert run is not None
        assert (run["state"], run["fence"]) == ("interrupted", 2)
        replay = await user.replay(answer.run_id)
        assert replay.text == run["text"] == answer.text
        await settled_once(stack, answer.run_id)
        assert await provider_calls(stack, answer.run_id) == 1


async def test_f28_a_run_whose_message_is_lost_is_finished_all_the_same(
    db_url: str, amqp_url: str, redis_url: str
):
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url) as stack:
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        stream = user.send(thread_id, sim(reply_tokens=400, tokens_per_s=20))
        answer = Answer()
        while len(answer.events) < 4:
            answer.events.append(await anext(stream))
        stack.workers[0].program.send(signal.SIGKILL)
        await end_of_crash(stack.workers[0])
        await lose_message(amqp_url, topology.RUNS)
        await stack.workers[0].restart()
        async for event in stream:
            answer.events.append(event)
        assert answer.status == "interrupted"
        await settled_once(stack, answer.run_id)
        assert await provider_calls(stack, answer.run_id) == 1


async def test_f28_an_end_that_nobody_tells_is_settled_long_before_its_hold_expires(
    db_url: str, amqp_url: str, redis_url: str
):
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, workers=0) as stack:
        doomed = await stack.add("chat_worker", CRASH_AT="worker.before_publish")
        await doomed.until_ready()
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        asking = asyncio.create_task(user.ask(thread_id, sim(reply_tokens=20)))
        await end_of_crash(doomed)
        await lose_message(amqp_url, topology.RUNS)
        await doomed.restart(CRASH_AT="")
        answer = await asking
        # Its hold lives for fifteen minutes.
        row = await settled_once(stack, answer.run_id)
        assert (row["actor"], -row["tokens"]) == ("usage-ledger", answer.usage["total_tokens"])
