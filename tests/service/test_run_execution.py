"""A run from its request to its end: handed back, taken over, short of time, and what it is charged."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import orjson
import pytest
from redis.asyncio import Redis

from chat_worker.engine.interface import (
    Delta,
    FileCited,
    Finished,
    ProviderAmbiguous,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
    Snapshot,
    Started,
    StreamLost,
    Working,
)
from chat_worker.recovery import Recovery
from chat_worker.runs.records import Claim
from chat_worker.runs.repository import HeldElsewhere
from chat_worker.stream.reader import take_over_stream
from common.amqp.delivery import Done
from common.clock import SystemClock
from common.errors import Unavailable
from common.events.envelope import TokenUsage
from common.mongo.clock import DatabaseClock
from common.run_stream import RunEvent
from common.tasks import background_tasks
from support.clock import FakeClock
from support.processes import free_port
from support.run_writer import RunWriter
from support.scripted_engine import Script, ScriptedEngine
from support.worker import (
    ASSISTANT,
    USAGE,
    WHOLE,
    WorkerOnTrial,
    charge_of,
    database_away,
    deliver,
    request_for,
    worker_on_trial,
)

BUSY = ProviderError("provider_busy", "busy", retryable=True)


@pytest.fixture
async def worker(db_url: str, redis_url: str) -> AsyncGenerator[WorkerOnTrial]:
    async with worker_on_trial(db_url, redis_url) as worker:
        yield worker


def text_of(events: list[RunEvent]) -> str:
    """Put the deltas together as a browser does, which cannot place what lies beyond a gap."""
    text = ""
    for event in events:
        if event.kind == "delta":
            delta = orjson.loads(event.data)
            assert delta["at"] <= len(text)
            text = text[: delta["at"]] + delta["text"]
    return text


async def until_asked(engine: ScriptedEngine, *, times: int = 1) -> None:
    async with asyncio.timeout(20):
        while engine.runs < times:
            await asyncio.sleep(0.02)


async def test_a_run_is_answered_stored_streamed_and_announced(worker: WorkerOnTrial):
    request = await worker.ask()
    assert await deliver(worker.executor(ScriptedEngine(WHOLE)), request) == Done()
    run = await worker.run(request.run_id)
    assert (run["state"], run["text"]) == ("completed", "Hello world")
    assert text_of(await worker.stream(request.run_id)) == "Hello world"
    assert charge_of(worker) == ("completed", USAGE, "provider")


class TestMessageTakenBack:
    """The gateway heard no confirmation of its request, and takes the message back; it may be put back."""

    async def test_a_message_that_is_put_back_is_answered(self, worker: WorkerOnTrial):
        request = await worker.ask()
        message = await worker.db["messages"].find_one_and_delete({"_id": request.message_id})
        assert message is not None
        driving = asyncio.create_task(deliver(worker.executor(ScriptedEngine(WHOLE)), request))
        await worker.until_active(request.run_id)
        await worker.db["messages"].insert_one(message)
        assert await driving == Done()
        assert charge_of(worker) == ("completed", USAGE, "provider")

    async def test_a_message_that_is_not_there_for_long_ends_its_run_for_nothing(self, worker: WorkerOnTrial):
        request = await worker.ask()
        await worker.db["messages"].delete_one({"_id": request.message_id})
        assert await deliver(worker.executor(ScriptedEngine()), request) == Done()
        assert charge_of(worker) == ("failed", TokenUsage(), "none")
        assert (await worker.run(request.run_id))["error"]["code"] == "withdrawn"


class TestHandedBack:
    async def test_a_run_whose_question_could_not_be_read_twice_is_still_answered(
        self, worker: WorkerOnTrial
    ):
        request = await worker.ask()
        engine = ScriptedEngine(WHOLE)
        for _ in range(2):
            with database_away() as away, pytest.raises(Unavailable):
                await deliver(worker.executor(engine, reads=away), request)
        assert await deliver(worker.executor(engine), request) == Done()
        assert charge_of(worker) == ("completed", USAGE, "provider")
        assert (engine.runs, (await worker.run(request.run_id))["fence"]) == (1, 3)

    async def test_a_run_handed_back_while_the_provider_was_busy_may_be_stopped_for_nothing(
        self, worker: WorkerOnTrial
    ):
        request = await worker.ask()
        engine = ScriptedEngine([ProviderBusy(BUSY, retry_after_s=30)])
        driving = asyncio.create_task(deliver(worker.executor(engine), request))
        await until_asked(engine)
        driving.cancel()
        await asyncio.wait({driving})
        await worker.db["messages"].update_one(
            {"_id": request.message_id}, {"$set": {"cancel_requested_at": worker.clock.now()}}
        )
        await deliver(worker.executor(ScriptedEngine()), request)
        assert charge_of(worker) == ("cancelled", TokenUsage(), "none")

    async def test_a_run_handed_back_in_the_middle_is_interrupted_and_charged(self, worker: WorkerOnTrial):
        request = await worker.ask()
        said = asyncio.Event()
        engine = ScriptedEngine([Started("x", background=False), Delta("half"), said, asyncio.Event()])
        driving = asyncio.create_task(deliver(worker.executor(engine), request))
        await worker.until_active(request.run_id)
        said.set()
        async with asyncio.timeout(20):
            while text_of(await worker.stream(request.run_id)) != "half":
                await asyncio.sleep(0.02)
        driving.cancel()
        await asyncio.wait({driving})
        await deliver(worker.executor(ScriptedEngine()), request)
        status, usage, source = charge_of(worker)
        assert (status, source) == ("interrupted", "estimate")
        assert usage.total_tokens > 0
        assert (await worker.run(request.run_id))["text"] == "half"


class TestTakenOver:
    async def test_a_run_without_its_question_fails_and_asks_the_model_nothing(self, worker: WorkerOnTrial):
        request = request_for("r_" + "1" * 32)
        await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
        await worker.forsake(request.run_id)
        engine = ScriptedEngine()
        await deliver(worker.executor(engine), request)
        assert engine.runs == 0
        assert charge_of(worker) == ("failed", TokenUsage(), "none")

    @pytest.mark.parametrize("streamed", ["Hello world", "Hel", ""])
    async def test_readers_get_what_was_stored_and_never_streamed(self, worker: WorkerOnTrial, streamed: str):
        request = await worker.ask()
        await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
        dead = RunWriter(worker.redis, request.run_id)
        await dead.begin()
        if streamed:
            await dead.say(streamed)
        await worker.forsake(request.run_id, text="Hello wo", response_id="bg", background=True)
        engine = ScriptedEngine(
            [Started("bg", background=True), Delta("Hello world!"), Finished("completed", USAGE)]
        )
        await deliver(worker.executor(engine), request)
        assert (await worker.run(request.run_id))["text"] == "Hello world!"
        assert text_of(await worker.stream(request.run_id)) == "Hello world!"

    async def test_an_end_without_any_more_text_shows_all_that_is_stored(self, worker: WorkerOnTrial):
        request = await worker.ask()
        await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
        dead = RunWriter(worker.redis, request.run_id)
        await dead.begin()
        await dead.say("Hel")
        await worker.forsake(request.run_id, text="Hello wo")
        await deliver(worker.executor(ScriptedEngine()), request)
        assert charge_of(worker)[0] == "interrupted"
        assert text_of(await worker.stream(request.run_id)) == "Hello wo"

    async def test_a_stream_that_cannot_be_read_gets_all_the_text_above_any_number_it_knows(
        self, worker: WorkerOnTrial
    ):
        async with Redis(port=free_port()) as away:
            shown = await take_over_stream(away, "r_1", fence=2, text="Hello", sequence=7, opening={})
        assert (shown.text, shown.streamed) == ("Hello", 0)
        assert shown.sequence > 1_000

    async def test_a_stream_that_was_emptied_goes_on_above_any_number_it_had(self, worker: WorkerOnTrial):
        dead = RunWriter(worker.redis, "r_1")
        await dead.begin()
        for text in ("Hel", "lo", " wo"):
            await dead.say(text)
        await worker.redis.flushdb()
        shown = await take_over_stream(worker.redis, "r_1", fence=2, text="Hello", sequence=2, opening={})
        # A browser may have seen 4 and come back with that: what it lacks must not hide below.
        assert (shown.text, shown.streamed) == ("Hello", 0)
        assert shown.sequence > 4

    @pytest.mark.parametrize("usage", [USAGE, None])
    async def test_a_stop_keeps_what_was_read_though_the_worker_and_the_stream_are_lost(
        self, worker: WorkerOnTrial, usage: TokenUsage | None
    ):
        request = await worker.ask()
        await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
        await worker.forsake(request.run_id, response_id="bg", background=True)
        await worker.db["messages"].update_one(
            {"_id": request.message_id}, {"$set": {"cancel_requested_at": worker.clock.now()}}
        )
        stopped = Snapshot(text="Hello wo", finished=Finished("cancelled", usage))
        await deliver(worker.executor(ScriptedEngine(snapshot=stopped)), request)
        status, charged, source = charge_of(worker)
        assert (status, source) == ("cancelled", "retrieved" if usage else "estimate")
        assert charged.output_tokens > 0
        assert (await worker.run(request.run_id))["text"] == "Hello wo"
        assert text_of(await worker.stream(request.run_id)) == "Hello wo"

    async def test_a_second_start_is_counted_before_it_is_made(self, worker: WorkerOnTrial):
        request = await worker.ask()
        engine = ScriptedEngine([StreamLost()], [asyncio.Event()])
        driving = asyncio.create_task(deliver(worker.executor(engine), request))
        await until_asked(engine, times=2)
        assert (await worker.run(request.run_id))["starts"] == 2
        driving.cancel()
        await asyncio.wait({driving})

    async def test_ten_minutes_count_from_the_first_claim(self, worker: WorkerOnTrial):
        request = await worker.ask()
        await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
        long_ago = worker.clock.now() - timedelta(hours=1)
        await worker.forsake(request.run_id, started_at=long_ago, response_id="bg", background=True)
        engine = ScriptedEngine()
        await deliver(worker.executor(engine, run_max_s=600), request)
        assert (engine.cancelled, engine.resumes) == (["bg"], 0)
        assert charge_of(worker)[0] == "incomplete"

    async def test_an_answer_that_was_complete_before_time_ran_out_is_shown(self, worker: WorkerOnTrial):
        request = await worker.ask()
        await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
        long_ago = worker.clock.now() - timedelta(hours=1)
        await worker.forsake(request.run_id, started_at=long_ago, response_id="bg", background=True)
        stored = Snapshot(text="Hello world", finished=Finished("completed", USAGE))
        await deliver(worker.executor(ScriptedEngine(snapshot=stored)), request)
        assert charge_of(worker) == ("completed", USAGE, "retrieved")
        assert text_of(await worker.stream(request.run_id)) == "Hello world"


class TestLeases:
    @pytest.mark.parametrize("minutes", [-10, 10])
    async def test_a_worker_whose_clock_is_wrong_takes_no_run_that_is_driven(
        self, worker: WorkerOnTrial, minutes: int
    ):
        right = DatabaseClock(worker.db, SystemClock())
        wrong = DatabaseClock(worker.db, FakeClock(SystemClock().now() + timedelta(minutes=minutes)))
        await right.refresh()
        await wrong.refresh()
        here, there = worker.runs(right), worker.runs(wrong)
        request = await worker.ask()
        claim = await here.claim(request, assistant=ASSISTANT.reference, model="sim-1")
        assert isinstance(claim, Claim)
        again = await there.claim(request, assistant=ASSISTANT.reference, model="sim-1")
        assert again == HeldElsewhere()
        assert await there.take_over_expired() is None
        second = await worker.ask(thread_id="t_" + "1" * 32)
        second = second.model_copy(update={"thread_id": "t_" + "1" * 32})
        claim = await there.claim(second, assistant=ASSISTANT.reference, model="sim-1")
        assert isinstance(claim, Claim)
        again = await here.claim(second, assistant=ASSISTANT.reference, model="sim-1")
        assert again == HeldElsewhere()

    async def test_a_process_drives_no_more_runs_than_it_has_slots(self, worker: WorkerOnTrial):
        worker.slots = asyncio.Semaphore(1)
        request = await worker.ask()
        ending = asyncio.Event()
        engine = ScriptedEngine([Started("x", background=False), Working(), ending, *WHOLE[1:]], WHOLE)
        execute = worker.executor(engine)
        first = asyncio.create_task(deliver(execute, request))
        await worker.until_active(request.run_id)
        other = await worker.ask(thread_id="t_" + "1" * 32)
        other = other.model_copy(update={"thread_id": "t_" + "1" * 32})
        second = asyncio.create_task(deliver(execute, other))
        recovery = Recovery(worker.runs(), execute, every_s=0.01)
        async with background_tasks(recovery.run()):
            await asyncio.sleep(0.3)
            assert await worker.db["runs"].count_documents({}) == 1
            ending.set()
            assert await asyncio.gather(first, second) == [Done(), Done()]
        assert engine.runs == 2

    async def test_a_recovered_run_delays_no_other_and_is_given_time_to_end(self, worker: WorkerOnTrial):
        ending = asyncio.Event()
        slow: Script = [Started("x", background=False), Working(), ending, *WHOLE[1:]]
        engine = ScriptedEngine(slow, WHOLE)
        recovery = Recovery(worker.runs(), worker.executor(engine), every_s=0.01)
        async with background_tasks(recovery.run()), asyncio.timeout(60):
            for number in (1, 2):
                thread_id = "t_" + str(number) * 32
                request = (await worker.ask(thread_id=thread_id)).model_copy(update={"thread_id": thread_id})
                await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
                await worker.forsake(request.run_id)
                await until_asked(engine, times=number)
            while not worker.announced.events:
                await asyncio.sleep(0.02)
            assert charge_of(worker)[0] == "completed"
            asyncio.get_running_loop().call_later(0.2, ending.set)
            await recovery.drain(grace_s=20)
        states = {run["state"] async for run in worker.db["runs"].find()}
        assert states == {"completed"}

    async def test_the_end_of_a_recovered_run_is_announced_though_the_queue_was_away(
        self, worker: WorkerOnTrial
    ):
        worker.announced.refusals = 2
        engine = ScriptedEngine(WHOLE)
        recovery = Recovery(worker.runs(), worker.executor(engine), every_s=0.01)
        request = await worker.ask()
        await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
        await worker.forsake(request.run_id)
        async with background_tasks(recovery.run()), asyncio.timeout(20):
            while not worker.announced.events:
                await asyncio.sleep(0.02)
        assert charge_of(worker) == ("completed", USAGE, "provider")
        assert engine.runs == 1


class TestInterrupted:
    async def test_a_run_that_is_lost_twice_before_any_text_costs_nothing(self, worker: WorkerOnTrial):
        request = await worker.ask()
        engine = ScriptedEngine([ProviderAmbiguous()], [Started("x", background=False), StreamLost()])
        await deliver(worker.executor(engine), request)
        assert charge_of(worker) == ("interrupted", TokenUsage(), "none")

    async def test_a_third_worker_that_finds_no_text_charges_nothing(self, worker: WorkerOnTrial):
        request = await worker.ask()
        await worker.runs().claim(request, assistant=ASSISTANT.reference, model="sim-1")
        await worker.forsake(request.run_id, starts=2)
        await deliver(worker.executor(ScriptedEngine()), request)
        assert charge_of(worker) == ("interrupted", TokenUsage(), "none")

    async def test_a_kept_response_that_never_tells_is_estimated_though_it_gave_no_text(
        self, worker: WorkerOnTrial
    ):
        request = await worker.ask()
        engine = ScriptedEngine(
            [Started("bg", background=True), Working(), StreamLost()],
            [ProviderRefused(BUSY)],
            snapshot=Snapshot(text="", finished=None),
        )
        await deliver(worker.executor(engine), request)
        status, usage, source = charge_of(worker)
        assert (status, source, usage.output_tokens) == ("interrupted", "estimate", 0)
        assert usage.input_tokens > 0


async def test_a_file_that_cannot_be_stored_costs_neither_the_answer_nor_its_figure(worker: WorkerOnTrial):
    request = await worker.ask()
    engine = ScriptedEngine([*WHOLE, FileCited("f1", "report.csv", "c1")], file=b"a,b")
    with database_away() as away:
        await deliver(worker.executor(engine, keeps=away), request)
    assert charge_of(worker) == ("completed", USAGE, "provider")
    assert (await worker.run(request.run_id))["files"] == []


async def test_files_that_take_too_long_are_left_out(worker: WorkerOnTrial):
    request = await worker.ask()

    class SlowDownloads(ScriptedEngine):
        async def download(self, file: FileCited, *, bytes_max: int) -> bytes:
            if file.file_id == "f1":
                return b"a,b"
            await asyncio.Event().wait()
            raise AssertionError

    files = [FileCited(f"f{number}", f"{number}.csv", "c1") for number in (1, 2)]
    await deliver(worker.executor(SlowDownloads([*WHOLE, *files])), request)
    assert charge_of(worker) == ("completed", USAGE, "provider")
    assert [file["name"] for file in (await worker.run(request.run_id))["files"]] == ["1.csv"]
