"""Every way in which a stream can fail, on a scripted model: what is shown, what is tried again."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import pytest

from chat_worker.engine.interface import (
    Delta,
    EngineEvent,
    FileCited,
    Finished,
    ModelError,
    ProviderAmbiguous,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
    RunSpec,
    Snapshot,
    Started,
    StreamLost,
    Working,
)
from chat_worker.runs.attempt import Attempt
from chat_worker.runs.records import Claim
from chat_worker.stream.output import RunOutput
from common.events.envelope import TokenUsage
from common.events.runs import RunRequestedV1
from support.clock import FakeClock

USAGE = TokenUsage(input_tokens=3, output_tokens=2)
FILE = FileCited("f1", "report.csv", "c1")
DONE = Finished("completed", USAGE)
ERROR = ProviderError("provider_busy", "busy", retryable=True)

Script = list[EngineEvent | ModelError]


class ScriptedEngine:
    """Plays one script per request; counts how often it was asked to run and to resume."""

    def __init__(self, *scripts: Script, snapshot: Snapshot | None = None) -> None:
        self._scripts = list(scripts)
        self._snapshot = snapshot
        self.runs = 0
        self.resumes = 0
        self.cancelled: list[str] = []

    def run(self, spec: RunSpec) -> AsyncIterator[EngineEvent]:
        self.runs += 1
        return self._play()

    def resume(self, response_id: str) -> AsyncIterator[EngineEvent]:
        self.resumes += 1
        return self._play()

    async def _play(self) -> AsyncIterator[EngineEvent]:
        for step in self._scripts.pop(0):
            if isinstance(step, ModelError):
                raise step
            yield step

    async def cancel(self, response_id: str) -> Snapshot | None:
        self.cancelled.append(response_id)
        return self._snapshot

    async def retrieve(self, response_id: str) -> Snapshot | None:
        return self._snapshot

    async def download(self, file: FileCited, *, bytes_max: int) -> bytes:
        raise ProviderAmbiguous


class KeptResponses:
    """Stands for the stored run: takes every response id."""

    def __init__(self) -> None:
        self.remembered: list[str] = []

    async def remember_response(self, claim: Claim, response_id: str, *, background: bool) -> bool:
        self.remembered.append(response_id)
        return True


class NoWriter:
    def text(self, output: RunOutput, text: str) -> None:
        output.text += text

    def event(self, output: RunOutput, kind: str, data: Mapping[str, object]) -> None:
        output.add(kind, data)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat_worker.runs.attempt._pause_s", lambda tries, retry_after_s: 0)


def attempt_on(
    engine: ScriptedEngine, *, shown: str = "", fence: int = 1, response_id: str | None = None
) -> Attempt:
    clock = FakeClock()
    request = RunRequestedV1(
        event_id="r_1",
        occurred_at=clock.now(),
        run_id="r_1",
        thread_id="t_1",
        message_id="m_1",
        user_id="u_1",
        company=None,
        assistant="local",
        hold_tokens=100,
        input_tokens_estimate=10,
        max_output_tokens=90,
        claim_until=clock.now() + timedelta(minutes=5),
    )
    claim = Claim(
        request=request, fence=fence, text=shown, response_id=response_id, background=response_id is not None
    )
    spec = RunSpec(
        run_id="r_1",
        attempt=fence,
        thread_id="t_1",
        user_ref="h",
        model="m",
        instructions="",
        input=[],
        max_output_tokens=90,
    )
    return Attempt(
        claim=claim,
        spec=spec,
        engine=engine,
        runs=KeptResponses(),
        writer=NoWriter(),
        output=RunOutput("r_1", fence=fence, text=shown, sequence=0),
        clock=clock,
        started_s=0.0,
    )


async def test_a_whole_stream_ends_as_the_provider_says():
    engine = ScriptedEngine([Started("x", background=False), Delta("Hel"), Delta("lo"), DONE])
    attempt = attempt_on(engine)
    ending = await attempt.drive()
    assert (ending.status, ending.reported, attempt.output.text) == ("completed", USAGE, "Hello")


async def test_a_busy_provider_is_asked_again_until_it_has_refused_four_times():
    busy: Script = [ProviderBusy(ERROR)]
    engine = ScriptedEngine(busy, busy, busy, busy)
    ending = await attempt_on(engine).drive()
    assert (ending.status, ending.error, engine.runs) == ("failed", ERROR, 4)


async def test_a_refusal_is_final():
    engine = ScriptedEngine([ProviderRefused(ERROR)])
    ending = await attempt_on(engine).drive()
    assert (ending.status, engine.runs) == ("failed", 1)


@pytest.mark.parametrize("loss", [ProviderAmbiguous(), StreamLost()])
async def test_a_loss_before_the_first_text_starts_once_more(loss: ModelError):
    engine = ScriptedEngine([loss], [Started("y", background=False), Delta("ok"), DONE])
    attempt = attempt_on(engine)
    ending = await attempt.drive()
    assert (ending.status, attempt.output.text, engine.runs) == ("completed", "ok", 2)


async def test_a_second_loss_before_the_first_text_ends_the_run():
    engine = ScriptedEngine([StreamLost()], [StreamLost()])
    ending = await attempt_on(engine).drive()
    assert (ending.status, engine.runs) == ("interrupted", 2)


async def test_a_loss_after_the_first_text_is_never_started_again():
    engine = ScriptedEngine([Started("x", background=False), Delta("half"), StreamLost()])
    attempt = attempt_on(engine)
    ending = await attempt.drive()
    assert (ending.status, attempt.output.text, engine.runs) == ("interrupted", "half", 1)


async def test_a_kept_response_is_attached_again_and_shows_only_what_is_missing():
    engine = ScriptedEngine(
        [Started("bg", background=True), Working(), Delta("Hello "), StreamLost()],
        [Started("bg", background=True), Delta("Hel"), Delta("lo wor"), Delta("ld"), DONE],
    )
    attempt = attempt_on(engine)
    ending = await attempt.drive()
    assert (ending.status, attempt.output.text) == ("completed", "Hello world")
    assert (engine.runs, engine.resumes) == (1, 1)


async def test_a_kept_response_that_cannot_be_streamed_is_read_as_stored():
    engine = ScriptedEngine(
        [Started("bg", background=True), Working(), Delta("Hello "), StreamLost()],
        [ProviderRefused(ERROR)],
        snapshot=Snapshot(text="Hello world", finished=DONE, files=(FILE,)),
    )
    attempt = attempt_on(engine)
    ending = await attempt.drive()
    assert (ending.status, ending.retrieved, attempt.output.text) == ("completed", USAGE, "Hello world")
    assert attempt.files == [FILE]


async def test_a_takeover_of_a_kept_response_goes_on_where_readers_are():
    engine = ScriptedEngine([Started("bg", background=True), Delta("Hello world"), DONE])
    attempt = attempt_on(engine, shown="Hello", fence=2, response_id="bg")
    ending = await attempt.drive()
    assert (ending.status, attempt.output.text, engine.runs) == ("completed", "Hello world", 0)


async def test_a_takeover_with_text_and_no_kept_response_is_interrupted():
    engine = ScriptedEngine()
    ending = await attempt_on(engine, shown="half", fence=2).drive()
    assert (ending.status, engine.runs) == ("interrupted", 0)


async def test_a_takeover_without_text_starts_once_and_a_third_worker_does_not():
    engine = ScriptedEngine([Started("y", background=False), Delta("ok"), DONE])
    assert (await attempt_on(engine, fence=2).drive()).status == "completed"
    assert (await attempt_on(ScriptedEngine(), fence=3).drive()).status == "interrupted"


async def test_the_response_id_is_stored_before_any_text_is_shown():
    engine = ScriptedEngine([Started("bg", background=True), Working(), Delta("x"), DONE])
    attempt = attempt_on(engine)
    await attempt.drive()
    assert isinstance(attempt.runs, KeptResponses)
    assert attempt.runs.remembered == ["bg"]
