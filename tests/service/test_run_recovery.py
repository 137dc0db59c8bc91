"""What must never happen: a run that has no end, or that keeps others from theirs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from chat_worker.engine.interface import Delta, EngineEvent, Started, Working
from chat_worker.recovery import Recovery
from chat_worker.runs.records import Claim
from chat_worker.stream.output import RunOutput
from common.amqp.delivery import Done
from common.clock import SystemClock
from common.events.envelope import TokenUsage
from common.events.runs import RunRequestedV1
from common.tasks import background_tasks
from support.clock import FakeClock
from support.scripted_engine import Script, ScriptedEngine
from support.worker import ASSISTANT, USAGE, WHOLE, WorkerOnTrial, charge_of, deliver, worker_on_trial


@pytest.fixture
async def worker(db_url: str, redis_url: str) -> AsyncGenerator[WorkerOnTrial]:
    async with worker_on_trial(db_url, redis_url) as worker:
        yield worker


async def forsaken_run(worker: WorkerOnTrial, number: int = 0) -> RunRequestedV1:
    """Store a run in a thread of its own, as a worker leaves it that was killed long ago."""
    thread_id = f"t_{number:032}"
    request = (await worker.ask(thread_id=thread_id)).model_copy(update={"thread_id": thread_id})
    await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
    await worker.forsake(request.run_id)
    return request


@pytest.mark.parametrize(
    "damage", [{"$unset": {"fence": 1}}, {"$set": {"fence": None}}, {"$set": {"hold_tokens": "many"}}]
)
async def test_damaged_runs_are_left_alone_and_keep_no_other_waiting(
    worker: WorkerOnTrial, damage: dict[str, Any]
):
    forsaken = [await forsaken_run(worker, number) for number in range(12)]
    broken = {"_id": {"$ne": forsaken[-1].run_id}}
    await worker.db["runs"].update_many(broken, damage)
    before = await worker.db["runs"].find(broken).sort("_id").to_list(None)
    recovery = Recovery(worker.runs(), worker.executor(ScriptedEngine(WHOLE)), every_s=0.01)
    async with background_tasks(recovery.run()) as check, asyncio.timeout(20):
        while not worker.announced.events:
            await asyncio.sleep(0.02)
        assert await check() == []
    assert charge_of(worker) == ("completed", USAGE, "provider")
    assert await worker.db["runs"].find(broken).sort("_id").to_list(None) == before


async def test_recovery_goes_on_looking_after_an_error_that_nobody_expected(worker: WorkerOnTrial):
    class FailsOnce(FakeClock):
        failures = 1

        def now(self) -> datetime:
            if self.failures:
                self.failures -= 1
                raise LookupError
            return SystemClock().now()

    await forsaken_run(worker)
    runs = worker.runs(FailsOnce())
    recovery = Recovery(runs, worker.executor(ScriptedEngine(WHOLE)), every_s=0.01)
    async with background_tasks(recovery.run()), asyncio.timeout(20):
        while not worker.announced.events:
            await asyncio.sleep(0.02)
    assert charge_of(worker)[0] == "completed"


async def test_what_is_damaged_in_a_thread_stops_no_answer(worker: WorkerOnTrial):
    engine = ScriptedEngine(WHOLE, WHOLE, WHOLE, WHOLE)
    execute = worker.executor(engine)
    asked: list[RunRequestedV1] = []
    for _ in range(4):
        asked.append(await worker.ask(follows=asked[-1].message_id if asked else None))
        if len(asked) == 4:
            runs, messages = worker.db["runs"], worker.db["messages"]
            await runs.update_one({"_id": asked[0].run_id}, {"$unset": {"text": 1}})
            await messages.update_one({"_id": asked[1].message_id}, {"$unset": {"run_id": 1}})
            await messages.update_one({"_id": asked[2].message_id}, {"$unset": {"text": 1}})
        assert await deliver(execute, asked[-1]) == Done()
        assert charge_of(worker) == ("completed", USAGE, "provider")
    assert [message["role"] for message in engine.asked[-1]] == ["user", "user", "user"]


class FailsWhileItStreams(ScriptedEngine):
    """Has a bug of its own, behind some text."""

    async def _play(self) -> AsyncIterator[EngineEvent]:
        async for event in super()._play():
            yield event
        raise LookupError


class TestAnErrorThatNobodyExpected:
    async def test_ends_the_run_with_its_third_claim_for_nothing_where_nothing_was_asked(
        self, worker: WorkerOnTrial
    ):
        request = await worker.ask()
        await worker.db["messages"].update_one({"_id": request.message_id}, {"$unset": {"text": 1}})
        execute = worker.executor(ScriptedEngine())
        for _ in range(2):
            with pytest.raises(KeyError):
                await deliver(execute, request)
            assert (await worker.run(request.run_id))["state"] == "active"
        assert await deliver(execute, request) == Done()
        assert charge_of(worker) == ("failed", TokenUsage(), "none")
        events = await worker.stream(request.run_id)
        assert [event.kind for event in events[-3:]] == ["error", "usage", "done"]
        assert events[-1].sequence == (await worker.run(request.run_id))["last_sequence"]

    async def test_hands_the_run_on_with_its_text(self, worker: WorkerOnTrial):
        request = await worker.ask()
        engine = FailsWhileItStreams([Started("x", background=False), Delta("half")])
        with pytest.raises(LookupError):
            await deliver(worker.executor(engine), request)
        await deliver(worker.executor(ScriptedEngine()), request)
        assert charge_of(worker)[0] == "interrupted"
        assert (await worker.run(request.run_id))["text"] == "half"

    async def test_ends_a_run_that_would_be_followed_for_ever_by_an_estimate(self, worker: WorkerOnTrial):
        request = await worker.ask()
        kept: Script = [Started("bg", background=True), Working(), Delta("half")]
        engine = FailsWhileItStreams(kept, kept, kept)
        for _ in range(2):
            with pytest.raises(LookupError):
                await deliver(worker.executor(engine), request)
        assert await deliver(worker.executor(engine), request) == Done()
        status, usage, source = charge_of(worker)
        assert (status, source) == ("failed", "estimate")
        assert usage.output_tokens > 0
        assert usage.input_tokens == request.input_tokens_estimate
        assert (await worker.run(request.run_id))["text"] == "half"


class TestWithinOneProcess:
    """The database was away for longer than a lease, and answers went on meanwhile."""

    async def test_a_run_that_is_driven_is_neither_recovered_nor_delivered_again(self, worker: WorkerOnTrial):
        request = await worker.ask()
        ending = asyncio.Event()
        engine = ScriptedEngine([*WHOLE[:2], ending, *WHOLE[2:]])
        execute = worker.executor(engine)
        first = asyncio.create_task(deliver(execute, request))
        await worker.until_active(request.run_id)
        await worker.forsake(request.run_id)
        recovery = Recovery(worker.runs(), execute, every_s=0.01)
        async with background_tasks(recovery.run()), asyncio.timeout(20):
            again = asyncio.create_task(deliver(execute, request))
            other = await forsaken_run(worker, 1)
            await worker.db["messages"].delete_one({"_id": other.message_id})
            while not worker.announced.events:
                await asyncio.sleep(0.02)
            ending.set()
            assert await asyncio.gather(first, again) == [Done(), Done()]
        assert charge_of(worker) == ("completed", USAGE, "provider")
        assert (engine.runs, (await worker.run(request.run_id))["fence"]) == (1, 1)

    async def test_an_older_attempt_ends_where_a_newer_one_begins(self, worker: WorkerOnTrial):
        request = await worker.ask()
        execute = worker.executor(ScriptedEngine([*WHOLE[:2], asyncio.Event()]))
        older = asyncio.create_task(deliver(execute, request))
        await worker.until_active(request.run_id)
        await worker.forsake(request.run_id)
        claim = await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
        assert isinstance(claim, Claim)
        async with asyncio.timeout(20):
            assert await execute.drive(claim) == Done()
            assert await older == Done()
        assert [event.fence for event in await worker.stream(request.run_id) if event.is_last] == [2]
        assert len(worker.announced.events) == 1

    async def test_what_an_older_attempt_says_displaces_nothing_of_a_newer_one(self, worker: WorkerOnTrial):
        older, newer = RunOutput("r_1", fence=1), RunOutput("r_1", fence=2)
        worker.writer.event(newer, "run", {})
        worker.writer.text(older, "late")
        assert [(event.fence, event.kind) for event in await worker.stream("r_1")] == [(2, "run")]
