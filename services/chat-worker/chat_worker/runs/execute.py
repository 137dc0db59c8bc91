"""Execute a run: claim, drive, store the end, announce it. What a delivery of `run.requested` does."""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from typing import Protocol

from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from chat_worker.engine.interface import Engine, ProviderError, RunSpec
from chat_worker.files.keeper import FileKeeper
from chat_worker.runs.active import ActiveRun, ActiveRuns
from chat_worker.runs.attempt import Attempt, Ending
from chat_worker.runs.conversation import Conversation, build_conversation
from chat_worker.runs.history import HistoryRepository, Question
from chat_worker.runs.records import Claim, RunEnd, finished_event
from chat_worker.runs.repository import Ended, HeldElsewhere, RunRepository
from chat_worker.runs.usage import charged_usage, context_after
from chat_worker.stream.output import RunOutput
from chat_worker.stream.reader import take_over_stream
from chat_worker.stream.writer import StreamWriter
from common.amqp.delivery import Delivery, Done, Outcome, RetryLater
from common.assistants import Assistant
from common.clock import Clock
from common.crash_points import CrashPoints
from common.errors import Unavailable
from common.events.envelope import Event
from common.events.runs import RunRequestedV1
from common.log import get_logger
from common.metrics import RUNS_FINISHED, TOKENS_USED
from common.tokens import count_tokens

log = get_logger()

_STORE_FOR_S = 300
_CLAIMS_MAX = 3
"""So often a run is claimed, at least, before an error that nobody expected ends it."""
_PUT_BACK_PAUSES_S = (0.5, 1.5, 3.0)
"""A gateway that takes a message back puts it there again if it finds the run claimed; it may be slow."""

_TOO_LATE = ProviderError(
    "too_late", "The message waited too long to be answered. Nothing was charged.", retryable=True
)
_WITHDRAWN = ProviderError("withdrawn", "The message was withdrawn. Nothing was charged.", retryable=True)
_BROKEN = ProviderError("run_failed", "Something went wrong with this answer.", retryable=True)
_TIMEOUT = ProviderError("run_timeout", "The answer took too long and was ended.", retryable=True)


class EventPublisher(Protocol):
    """Where the end of a run is announced."""

    async def publish(self, message: Event) -> None:
        """Return once the broker has it. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecuteRun:
    """Called with every delivery; safe to call again with the same one at any time.

    `slots` bounds the runs of the process. A delivery alone does not: after a lost connection to the broker
    the old runs go on, and as many new deliveries come.
    """

    assistant: Assistant
    engine: Engine
    runs: RunRepository
    active: ActiveRuns
    history: HistoryRepository
    files: FileKeeper
    writer: StreamWriter
    redis: Redis
    publisher: EventPublisher
    clock: Clock
    secret: str
    lease_s: float
    run_max_s: float
    slots: asyncio.Semaphore
    crash: CrashPoints

    async def __call__(self, delivery: Delivery) -> Outcome:
        """Answer a delivery once its run is terminal and announced, whoever ended it."""
        assert isinstance(delivery.message, RunRequestedV1)
        return await self.carry_out(delivery.message)

    async def carry_out(self, request: RunRequestedV1) -> Outcome:
        """See a run to its end and announce it. Raises Unavailable; then it is to be asked for again."""
        # While another worker's lease lives, wait for its end or for ours to begin.
        patience_s = 2 * self.lease_s
        waited_s = 0.0
        while True:
            async with self.slots:
                claim = await self._claim(request)
                if isinstance(claim, Claim):
                    return await self.drive(claim)
            if isinstance(claim, Ended):
                await self.publisher.publish(finished_event(claim.run))
                return Done()
            if waited_s >= patience_s:
                return RetryLater("held by another worker", cause="busy")
            await asyncio.sleep(1)
            waited_s += 1

    async def _claim(self, request: RunRequestedV1) -> Claim | HeldElsewhere | Ended:
        if request.run_id in self.active:
            # A second delivery must not take it from this process itself, though its lease may have run out.
            return HeldElsewhere()
        try:
            return await self.runs.claim(
                request, assistant=self.assistant.reference, model=self.assistant.model
            )
        except PyMongoError as error:
            raise Unavailable("runs cannot be claimed") from error

    async def drive(self, claim: Claim) -> Outcome:
        """Drive a claimed run to its end. Whoever calls this has one of the `slots`."""
        output = await self._open_output(claim)
        active = self.active.add(claim, output)
        try:
            await self._drive_to_an_end(active)
        except PyMongoError as error:
            await self._release(active)
            raise Unavailable("the run cannot be stored") from error
        except (asyncio.CancelledError, Exception):
            # A drain that has run out of patience, a part that is away, an error that nobody expected: the
            # next worker goes on from here.
            await self._release(active)
            raise
        finally:
            self.active.remove(active)
        return Done()

    async def _drive_to_an_end(self, active: ActiveRun) -> None:
        try:
            await self._drive(active)
        except (PyMongoError, Unavailable):
            raise
        except Exception:
            if active.claim.fence < _CLAIMS_MAX:
                raise
            # The edge: it would fail for ever, and its user could neither go on nor have the hold back.
            log.exception("run_broken", run_id=active.claim.run_id, fence=active.claim.fence)
            await self._conclude(active, self._broken_end(active))

    async def _drive(self, active: ActiveRun) -> None:
        claim = active.claim
        question = await self._question(claim.request)
        conversation = self._conversation(question)
        attempt = self._attempt(active, conversation, may_start=question is not None)
        if question and question.cancel_requested:
            active.stop("cancelled")
        ending = self._refused(claim, question) or await active.drive(
            attempt, timeout_s=self._time_left_s(claim)
        )
        if active.stopped == "lost":
            return
        if ending is None:
            ending = await self._stopped(active, attempt)
        self.crash.reach("worker.before_end")
        await self._conclude(active, await self._end_of(attempt, ending, conversation))

    async def _question(self, request: RunRequestedV1) -> Question | None:
        """Return the message with what went before it, or None if it was taken back for good."""
        question = await self.history.question(request)
        for pause_s in _PUT_BACK_PAUSES_S:
            if question is not None:
                break
            await asyncio.sleep(pause_s)
            question = await self.history.question(request)
        return question

    async def _conclude(self, active: ActiveRun, end: RunEnd) -> None:
        """Store how the run ended, show it and announce it; nothing of that if the run is lost."""
        claim = active.claim
        stored = await self._store(claim, end)
        if stored is None:
            log.warning("run_lost", run_id=claim.run_id, fence=claim.fence)
            return
        self._close_output(active.output, end)
        RUNS_FINISHED.labels(status=end.status, usage=end.usage_source).inc()
        TOKENS_USED.labels(direction="input").inc(end.usage.input_tokens)
        TOKENS_USED.labels(direction="output").inc(end.usage.output_tokens)
        self.crash.reach("worker.before_publish")
        await self.publisher.publish(finished_event(stored))
        self.crash.reach("worker.before_ack")

    async def _open_output(self, claim: Claim) -> RunOutput:
        opening: dict[str, object] = {
            "run_id": claim.run_id,
            "thread_id": claim.request.thread_id,
            "message_id": claim.request.message_id,
        }
        if not claim.is_takeover:
            output = RunOutput(claim.run_id, fence=claim.fence)
            self.writer.event(output, "run", opening)
            return output
        shown = await take_over_stream(
            self.redis,
            claim.run_id,
            fence=claim.fence,
            text=claim.text,
            sequence=claim.last_sequence,
            opening=opening,
        )
        return RunOutput(
            claim.run_id,
            fence=claim.fence,
            text=shown.text,
            shown=shown.streamed,
            sequence=shown.sequence,
        )

    def _conversation(self, question: Question | None) -> Conversation:
        return build_conversation(
            question.history if question else (),
            question.text if question else "",
            instructions=self.assistant.instructions,
            input_tokens_max=self.assistant.max_input_tokens,
            count=count_tokens,
        )

    def _attempt(self, active: ActiveRun, conversation: Conversation, *, may_start: bool) -> Attempt:
        request = active.claim.request
        if request.assistant != self.assistant.reference:
            # The hold was made for the other one; its output limit holds all the same.
            log.warning(
                "assistants_differ",
                run_id=request.run_id,
                held_for=request.assistant,
                asked=self.assistant.reference,
            )
        spec = RunSpec(
            run_id=request.run_id,
            attempt=active.claim.fence,
            thread_id=request.thread_id,
            user_ref=hmac.new(self.secret.encode(), request.user_id.encode(), hashlib.sha256).hexdigest(),
            model=self.assistant.model,
            instructions=self.assistant.instructions,
            input=conversation.input,
            max_output_tokens=request.max_output_tokens,
            background=self.assistant.background,
            tools=self.assistant.tools,
            params=self.assistant.params,
        )
        return Attempt(
            claim=active.claim,
            spec=spec,
            engine=self.engine,
            runs=self.runs,
            writer=self.writer,
            output=active.output,
            clock=self.clock,
            started_s=self.clock.monotonic_s(),
            may_start=may_start,
        )

    def _refused(self, claim: Claim, question: Question | None) -> Ending | None:
        """End a run that must not reach the model any more, unless there is something to go on with."""
        if question is None and not claim.text and not claim.background:
            return Ending(status="failed", error=_WITHDRAWN)
        if claim.starts or question is None:
            return None
        if question.cancel_requested:
            return Ending(status="cancelled")
        if self.clock.now() > claim.request.claim_until:
            return Ending(status="failed", error=_TOO_LATE)
        return None

    def _time_left_s(self, claim: Claim) -> float:
        return max(0.0, self.run_max_s - (self.clock.now() - claim.started_at).total_seconds())

    async def _stopped(self, active: ActiveRun, attempt: Attempt) -> Ending:
        snapshot = await attempt.stop()
        usage = snapshot.finished.usage if snapshot and snapshot.finished else None
        if active.stopped == "cancelled":
            if snapshot is not None and active.claim.is_takeover:
                # What its user has read may be lost with the worker that wrote it and the stream in Redis.
                attempt.show(snapshot)
            return Ending(status="cancelled", retrieved=usage)
        ended = attempt.ended_by(snapshot)
        if ended is not None and ended.status == "completed":
            # Nobody followed it any more, but it was written in time, and is paid for in full.
            return ended
        return Ending(status="incomplete", retrieved=usage, error=_TIMEOUT)

    async def _end_of(self, attempt: Attempt, ending: Ending, conversation: Conversation) -> RunEnd:
        output = attempt.output
        retrieved = ending.retrieved
        if (
            ending.reported is None
            and retrieved is None
            and attempt.model_called
            and ending.status not in ("cancelled", "interrupted")
        ):
            snapshot = await attempt.snapshot()
            retrieved = snapshot.finished.usage if snapshot and snapshot.finished else None
        usage, source = charged_usage(
            reported=ending.reported,
            retrieved=retrieved,
            model_called=attempt.model_called,
            # Interrupted with nothing at the provider that may still go on is a failure, too.
            failed=ending.status == "failed" or (ending.status == "interrupted" and not attempt.can_resume),
            text=output.text,
            input_tokens=conversation.input_tokens,
            hold_tokens=attempt.claim.request.hold_tokens,
            count=count_tokens,
        )
        files = await self.files.keep(attempt.claim.request, attempt.files)
        output.gather()
        closing = 2 + len(files) + (1 if ending.error else 0)
        return RunEnd(
            status=ending.status,
            text=output.text,
            usage=usage,
            usage_source=source,
            context_tokens=context_after(
                usage,
                source,
                input_tokens=conversation.input_tokens,
                text_tokens=0 if source in ("provider", "retrieved") else count_tokens(output.text),
            ),
            last_sequence=output.sequence + closing,
            error=_error_fields(ending.error),
            annotations=attempt.annotations,
            files=files,
        )

    def _broken_end(self, active: ActiveRun) -> RunEnd:
        """End a run by what its claim and its text tell; anything else may be what cannot be stored."""
        request, output = active.claim.request, active.output
        usage, source = charged_usage(
            reported=None,
            retrieved=None,
            model_called=active.starts > 0,
            failed=True,
            text=output.text,
            input_tokens=request.input_tokens_estimate,
            hold_tokens=request.hold_tokens,
            count=count_tokens,
        )
        output.gather()
        return RunEnd(
            status="failed",
            text=output.text,
            usage=usage,
            usage_source=source,
            context_tokens=request.input_tokens_estimate + count_tokens(output.text),
            last_sequence=output.sequence + 3,
            error=_error_fields(_BROKEN),
            annotations=[],
            files=[],
        )

    def _close_output(self, output: RunOutput, end: RunEnd) -> None:
        for file in end.files:
            self.writer.event(output, "file", {"id": file["id"], "name": file["name"]})
        if end.error:
            self.writer.event(output, "error", end.error)
        usage = {
            **end.usage.model_dump(),
            "total_tokens": end.usage.total_tokens,
            "estimated": end.usage_source == "estimate",
        }
        self.writer.event(output, "usage", usage)
        self.writer.event(output, "done", {"status": end.status})

    async def _store(self, claim: Claim, end: RunEnd) -> dict[str, object] | None:
        # The answer is paid for: keep trying while the database is away. Should this worker die first,
        # another finishes the run from what the stream holds.
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(PyMongoError),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_delay(_STORE_FOR_S),
            reraise=True,
        )
        return await retrying(self.runs.end, claim, end)

    async def _release(self, active: ActiveRun) -> None:
        try:
            async with asyncio.timeout(3):
                await self.runs.release(active.claim, active.progress(), starts=active.starts)
        except (PyMongoError, TimeoutError):
            # The lease runs out by itself.
            log.warning("lease_not_released", run_id=active.claim.run_id)


def _error_fields(error: ProviderError | None) -> dict[str, object] | None:
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "retryable": error.retryable}
