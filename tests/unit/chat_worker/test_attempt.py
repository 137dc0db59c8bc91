"""Every way in which a stream can fail, on a scripted model: what is shown, what is tried again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import pytest

from chat_worker.engine.interface import (
    Delta,
    FileCited,
    Finished,
    InputTooLong,
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
from chat_worker.runs.usage import charged_usage
from chat_worker.stream.output import RunOutput
from common.events.envelope import TokenUsage
from common.events.runs import RunRequestedV1
from support.clock import FakeClock
from support.scripted_engine import Script, ScriptedEngine

USAGE = TokenUsage(input_tokens=3, output_tokens=2)
FILE = FileCited("f1", "report.csv", "c1")
DONE = Finished("completed", USAGE)
ERROR = ProviderError("provider_busy", "busy", retryable=True)


class KeptResponses:
    """Stands for the stored run: takes every response id."""

    def __init__(self) -> None:
        self.remembered: list[str] = []

    async def remember_starts(self, claim: Claim, starts: int) -> bool:
        return True

    async def remember_response(self, claim: Claim, response_id: str, *, background: bool) -> bool:
        self.remembered.append(response_id)
        return True


class NoWriter:
    def text(self, output: RunOutput, text: str) -> None:
        output.text += text

    def event(self, output: RunOutput, kind: str, data: Mapping[str, object]) -> None:
        output.add(kind, data)


async def no_pause(_seconds: float) -> None: ...


def attempt_on(
    engine: ScriptedEngine,
    *,
    shown: str = "",
    starts: int = 0,
    response_id: str | None = None,
    may_start: bool = True,
    pause: Callable[[float], Awaitable[None]] = no_pause,
    conversation: list[dict[str, str]] | None = None,
) -> Attempt:
    fence = starts + 1
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
        request=request,
        fence=fence,
        started_at=clock.now(),
        starts=starts,
        text=shown,
        response_id=response_id,
        background=response_id is not None,
    )
    spec = RunSpec(
        run_id="r_1",
        attempt=fence,
        thread_id="t_1",
        user_ref="h",
        model="m",
        instructions="",
        input=conversation or [],
        max_output_tokens=90,
    )
    return Attempt(
        claim=claim,
        spec=spec,
        engine=engine,
        runs=KeptResponses(),
        writer=NoWriter(),
        output=RunOutput("r_1", fence=fence, text=shown, shown=len(shown)),
        clock=clock,
        started_s=0.0,
        may_start=may_start,
        pause=pause,
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
    attempt = attempt_on(engine, shown="Hello", starts=1, response_id="bg")
    ending = await attempt.drive()
    assert (ending.status, attempt.output.text, engine.runs) == ("completed", "Hello world", 0)


async def test_a_takeover_with_text_and_no_kept_response_is_interrupted():
    engine = ScriptedEngine()
    ending = await attempt_on(engine, shown="half", starts=1).drive()
    assert (ending.status, engine.runs) == ("interrupted", 0)


async def test_a_takeover_without_text_starts_once_and_a_third_worker_does_not():
    engine = ScriptedEngine([Started("y", background=False), Delta("ok"), DONE])
    assert (await attempt_on(engine, starts=1).drive()).status == "completed"
    assert (await attempt_on(ScriptedEngine(), starts=2).drive()).status == "interrupted"


async def test_the_response_id_is_stored_before_any_text_is_shown():
    engine = ScriptedEngine([Started("bg", background=True), Working(), Delta("x"), DONE])
    attempt = attempt_on(engine)
    await attempt.drive()
    assert isinstance(attempt.runs, KeptResponses)
    assert attempt.runs.remembered == ["bg"]


async def stopped_while(attempt: Attempt, reached: asyncio.Event) -> None:
    """Stop an attempt at a known place, as its user does."""
    driving = asyncio.create_task(attempt.drive())
    async with asyncio.timeout(20):
        await reached.wait()
    driving.cancel()
    await asyncio.wait({driving})
    assert driving.cancelled()


def usage_of(attempt: Attempt) -> tuple[TokenUsage, str]:
    return charged_usage(
        reported=attempt.ending.reported if attempt.ending else None,
        retrieved=None,
        model_called=attempt.model_called,
        failed=False,
        text=attempt.output.text,
        input_tokens=10,
        hold_tokens=100,
        count=len,
    )


async def test_a_run_stopped_while_it_waits_for_a_busy_provider_has_cost_nothing():
    pausing = asyncio.Event()

    async def pause(_seconds: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    attempt = attempt_on(ScriptedEngine([ProviderBusy(ERROR, retry_after_s=20)]), pause=pause)
    await stopped_while(attempt, pausing)
    assert usage_of(attempt) == (TokenUsage(), "none")


async def test_a_run_that_may_have_been_worked_on_before_is_charged_when_it_is_stopped_at_a_busy_provider():
    pausing = asyncio.Event()

    async def pause(_seconds: float) -> None:
        if engine.runs == 2:
            pausing.set()
            await asyncio.Event().wait()

    engine = ScriptedEngine([ProviderAmbiguous()], [ProviderBusy(ERROR)])
    attempt = attempt_on(engine, pause=pause)
    await stopped_while(attempt, pausing)
    assert usage_of(attempt) == (TokenUsage(input_tokens=10), "estimate")


async def test_a_stop_that_comes_behind_the_terminal_event_keeps_its_figure():
    never = asyncio.Event()
    attempt = attempt_on(ScriptedEngine([Started("x", background=False), Delta("all"), DONE, never]))
    driving = asyncio.create_task(attempt.drive())
    while attempt.ending is None:
        await asyncio.sleep(0)
    driving.cancel()
    await asyncio.wait({driving})
    assert attempt.ending is not None
    assert attempt.ending.status == "completed"
    assert usage_of(attempt) == (USAGE, "provider")


async def test_files_found_behind_the_terminal_event_belong_to_the_run():
    attempt = attempt_on(ScriptedEngine([Started("x", background=False), Delta("all"), DONE, FILE]))
    ending = await attempt.drive()
    assert (ending.status, attempt.files) == ("completed", [FILE])


async def test_a_kept_response_that_a_busy_provider_does_not_stream_is_read_as_stored():
    busy: Script = [ProviderBusy(ERROR)]
    engine = ScriptedEngine(
        [Started("bg", background=True), Working(), Delta("Hello "), StreamLost()],
        *[busy] * 4,
        snapshot=Snapshot(text="Hello world", finished=DONE),
    )
    attempt = attempt_on(engine)
    ending = await attempt.drive()
    assert (ending.status, ending.retrieved, attempt.output.text) == ("completed", USAGE, "Hello world")
    assert engine.runs == 1


async def test_a_kept_response_that_never_ends_is_cancelled_and_the_run_interrupted():
    engine = ScriptedEngine(
        [Started("bg", background=True), Working(), Delta("Hel"), StreamLost()],
        [ProviderRefused(ERROR)],
        snapshot=Snapshot(text="Hello", finished=None),
    )
    attempt = attempt_on(engine)
    ending = await attempt.drive()
    assert (ending.status, engine.cancelled, attempt.output.text) == ("interrupted", ["bg"], "Hel")


async def test_a_takeover_from_a_worker_that_never_reached_the_model_starts_as_the_first():
    engine = ScriptedEngine([StreamLost()], [Started("y", background=False), Delta("ok"), DONE])
    attempt = attempt_on(engine, starts=0)
    assert (await attempt.drive()).status == "completed"
    assert (engine.runs, attempt.starts) == (2, 2)


async def test_without_its_question_a_kept_response_is_followed_and_never_started_anew():
    lost: Script = [StreamLost()]
    engine = ScriptedEngine(*[lost] * 6)
    attempt = attempt_on(engine, starts=1, response_id="bg", may_start=False)
    assert (await attempt.drive()).status == "interrupted"
    assert (engine.runs, engine.resumes) == (0, 6)


def turns(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]


async def test_a_conversation_that_is_too_long_is_sent_again_with_its_newer_half():
    engine = ScriptedEngine(
        [InputTooLong(ERROR)], [Started("y", background=False), Delta("ok"), DONE], [InputTooLong(ERROR)]
    )
    attempt = attempt_on(engine, conversation=turns("q1", "a1", "q2", "a2", "q3"))
    assert (await attempt.drive()).status == "completed"
    assert [[m["content"] for m in sent] for sent in engine.asked] == [["q1", "a1", "q2", "a2", "q3"], ["q3"]]
    assert attempt.starts == 1


@pytest.mark.parametrize("texts", [("q1",), ("q1", "a1", "q2")])
async def test_a_conversation_that_stays_too_long_fails(texts: tuple[str, ...]):
    engine = ScriptedEngine([InputTooLong(ERROR)], [InputTooLong(ERROR)])
    attempt = attempt_on(engine, conversation=turns(*texts))
    ending = await attempt.drive()
    assert (ending.status, attempt.model_called) == ("failed", False)
