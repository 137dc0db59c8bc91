"""One attempt at a run: from the model's events to text, through every way in which a stream can fail.

The rules, from before the first text to after it:
- refused before anything began and worth another try: again, a few times, after a pause;
- refused because the conversation is too long: once more with its newer half;
- sent without an answer, or cut before the first text: once more from the start;
- cut after the first text: re-attached where the provider keeps the response, else the run is interrupted;
- never two attempts of a run at the same time, and never a second start once text was shown.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

from chat_worker.engine.interface import (
    Annotation,
    Delta,
    Engine,
    EngineEvent,
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
from chat_worker.runs.conversation import shortened
from chat_worker.runs.records import Claim
from chat_worker.stream.output import RunOutput
from common.clock import Clock
from common.errors import Unavailable
from common.events.envelope import TokenUsage
from common.events.runs import RunStatus
from common.log import get_logger
from common.metrics import FIRST_CHUNK_SECONDS

log = get_logger()

_BUSY_TRIES_MAX = 3
_RESUMES_MAX = 5
_STARTS_MAX = 2
_SNAPSHOT_TRIES = 3
_RETRY_AFTER_MAX_S = 30.0
_QUEUED_MAX_S = 60.0

INTERRUPTED = ProviderError(
    "interrupted", "The answer was cut off. What was written so far is kept.", retryable=True
)


class KeptResponses(Protocol):
    """Where the id of a response is kept, so that another worker can find it."""

    async def remember_response(self, claim: Claim, response_id: str, *, background: bool) -> bool:
        """Return False when the run is lost to another worker."""
        ...

    async def remember_starts(self, claim: Claim, starts: int) -> bool:
        """Return False when the run is lost to another worker."""
        ...


class Writer(Protocol):
    """Where text and events of the run go."""

    def text(self, output: RunOutput, text: str) -> None: ...

    def event(self, output: RunOutput, kind: str, data: Mapping[str, object]) -> None: ...


@dataclass(slots=True, kw_only=True)
class Ending:
    """How the model left the run, before anything is stored."""

    status: RunStatus
    reported: TokenUsage | None = None
    retrieved: TokenUsage | None = None
    error: ProviderError | None = None


@dataclass(slots=True, kw_only=True)
class Attempt:
    """Drives the model for one claim. What it has learnt stands in its fields, also after a failure.

    `starts` counts the requests, over all claims of the run, that the model got or may have got.
    `ending` is how the model left the run, as soon as it has, even if the attempt is stopped right then.
    `may_start` is False where the question is gone and only a kept response could still answer it.
    """

    claim: Claim
    spec: RunSpec
    engine: Engine
    runs: KeptResponses
    writer: Writer
    output: RunOutput
    clock: Clock
    started_s: float
    may_start: bool = True
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    response_id: str | None = None
    background: bool = False
    starts: int = 0
    ending: Ending | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    files: list[FileCited] = field(default_factory=list[FileCited])
    _skip_characters: int = 0
    _busy: int = 0
    _lost: int = 0
    _is_shortened: bool = False

    def __post_init__(self) -> None:
        self.response_id = self.claim.response_id
        self.background = self.claim.background
        self.starts = self.claim.starts

    async def drive(self) -> Ending:
        """Stream until the run has an end. Raises Unavailable when the run cannot be stored as started."""
        if self.claim.starts and not self.can_resume and not self._can_start:
            return Ending(status="interrupted", error=INTERRUPTED)
        while True:
            starts = self.starts
            try:
                return await self._consume(self._source())
            except ProviderBusy as error:
                # Nothing was spent, so a stop during the pause finds nothing to charge.
                self.starts = starts
                self._busy += 1
                if self._busy > _BUSY_TRIES_MAX:
                    return await self._given_up(error.error)
                await self.pause(_pause_s(self._busy, error.retry_after_s))
            except ProviderRefused as error:
                self.starts = starts
                if not self._shorten_for(error):
                    return await self._given_up(error.error)
            except (ProviderAmbiguous, StreamLost) as error:
                log.warning("model_stream_lost", run_id=self.claim.run_id, kind=type(error).__name__)
                if ending := await self._after_loss():
                    return ending

    @property
    def model_called(self) -> bool:
        """Tell whether the run may have cost something."""
        return self.starts > 0

    @property
    def can_resume(self) -> bool:
        """Tell whether the provider keeps a response for this run, and may go on with it without us."""
        return self.background and self.response_id is not None

    @property
    def _can_start(self) -> bool:
        return self.may_start and not self.output.text and self.starts < _STARTS_MAX

    def _source(self) -> AsyncIterator[EngineEvent]:
        if self.can_resume:
            self._skip_characters = len(self.output.text)
            return self.engine.resume(cast(str, self.response_id))
        self.starts += 1
        return self.engine.run(self.spec)

    def _shorten_for(self, error: ProviderRefused) -> bool:
        """Leave out the older half of a conversation that is too long, once. False: that is no help."""
        shorter = shortened(self.spec.input) if isinstance(error, InputTooLong) else None
        if shorter is None or self._is_shortened or self.can_resume:
            return False
        log.warning("conversation_shortened", run_id=self.claim.run_id, messages=len(shorter))
        self._is_shortened = True
        self.spec = replace(self.spec, input=shorter)
        return True

    async def _given_up(self, error: ProviderError) -> Ending:
        """End a run that the provider does not stream. What it keeps of it is paid for, so it is shown."""
        return await self._from_snapshot() if self.can_resume else Ending(status="failed", error=error)

    async def _after_loss(self) -> Ending | None:
        """Decide what follows a lost stream; None means another round."""
        self._lost += 1
        if self.can_resume:
            if self._lost > _RESUMES_MAX:
                return await self._from_snapshot()
            await self.pause(_pause_s(self._lost, None))
            return None
        if not self._can_start:
            return Ending(status="interrupted", error=INTERRUPTED)
        # Counted in advance, as a claim counts its first: whoever takes the run over must not start it again.
        if not await self.runs.remember_starts(self.claim, self.starts + 1):
            raise Unavailable("the run is lost to another worker")
        await self.pause(_pause_s(1, None))
        return None

    async def _consume(self, events: AsyncIterator[EngineEvent]) -> Ending:
        loop = asyncio.get_running_loop()
        queued = asyncio.timeout(None)
        try:
            async with queued, aclosing(cast(Any, events)):
                async for event in events:
                    match event:
                        case Delta(text=text):
                            self._say(text)
                        case Started():
                            await self._started(event)
                            queued.reschedule(loop.time() + _QUEUED_MAX_S if self.background else None)
                        case Working():
                            queued.reschedule(None)
                        case Annotation(data=data):
                            self._note(data)
                        case FileCited():
                            self._cite(event)
                        case Finished():
                            # Kept at once: a stop that comes while the files are listed changes nothing.
                            queued.reschedule(None)
                            self.ending = Ending(status=event.status, reported=event.usage, error=event.error)
        except TimeoutError:
            if not queued.expired():
                raise
            await self._give_up_queued()
        if self.ending is None:
            raise StreamLost
        return self.ending

    def _say(self, text: str) -> None:
        if self._skip_characters:
            skipped = min(self._skip_characters, len(text))
            self._skip_characters -= skipped
            text = text[skipped:]
        if text:
            if not self.output.text:
                FIRST_CHUNK_SECONDS.observe(self.clock.monotonic_s() - self.started_s)
            self.writer.text(self.output, text)

    def _note(self, data: dict[str, Any]) -> None:
        # A resumed stream starts from its beginning, so what is known comes again.
        if data not in self.annotations:
            self.annotations.append(data)
            self.writer.event(self.output, "annotation", data)

    def _cite(self, file: FileCited) -> None:
        if file not in self.files:
            self.files.append(file)

    async def _started(self, event: Started) -> None:
        if event.response_id is None or event.response_id == self.response_id:
            return
        self.response_id = event.response_id
        self.background = event.background
        # Only a response that the provider keeps can be found again, so only that is worth a write here.
        if event.background and not await self.runs.remember_response(
            self.claim, event.response_id, background=True
        ):
            raise Unavailable("the run is lost to another worker")

    async def _give_up_queued(self) -> None:
        """A response that never leaves the provider's queue is cancelled, so that a new one may start."""
        response_id, self.response_id, self.background = self.response_id, None, False
        if response_id is not None:
            await self._cancel(response_id)

    async def _from_snapshot(self) -> Ending:
        """Take the answer as the provider stored it, since it cannot be streamed any more."""
        snapshot = await self.snapshot()
        if snapshot is None or snapshot.finished is None:
            snapshot = await self.stop()
        return self.ended_by(snapshot) or Ending(status="interrupted", error=INTERRUPTED)

    def ended_by(self, snapshot: Snapshot | None) -> Ending | None:
        """Show what the stored answer has more than was streamed; None while it is being written."""
        if snapshot is None or snapshot.finished is None:
            return None
        self.show(snapshot)
        finished = snapshot.finished
        return Ending(status=finished.status, retrieved=finished.usage, error=finished.error)

    def show(self, snapshot: Snapshot) -> None:
        """Show what the stored answer has more than was streamed."""
        if len(snapshot.text) > len(self.output.text):
            self.writer.text(self.output, snapshot.text[len(self.output.text) :])
        for data in snapshot.annotations:
            self._note(data)
        for file in snapshot.files:
            self._cite(file)

    async def snapshot(self) -> Snapshot | None:
        """Ask the provider for the stored response until it is finished, a few times."""
        snapshot: Snapshot | None = None
        for tries in range(1, _SNAPSHOT_TRIES + 1):
            if not self.can_resume:
                return None
            snapshot = await self.engine.retrieve(cast(str, self.response_id))
            if snapshot is not None and snapshot.finished is not None:
                return snapshot
            if tries < _SNAPSHOT_TRIES:
                await self.pause(_pause_s(tries, None))
        return snapshot

    async def stop(self) -> Snapshot | None:
        """Stop what the provider still does for this run; return what it says of it then."""
        if not self.can_resume:
            return None
        snapshot = await self._cancel(cast(str, self.response_id))
        if snapshot is None or snapshot.finished is None or snapshot.finished.usage is None:
            snapshot = await self.snapshot() or snapshot
        return snapshot

    async def _cancel(self, response_id: str) -> Snapshot | None:
        try:
            return await self.engine.cancel(response_id)
        except ModelError as error:
            log.warning("provider_cancel_failed", run_id=self.claim.run_id, kind=type(error).__name__)
            return None


def _pause_s(tries: int, retry_after_s: float | None) -> float:
    """Wait as the provider says, else double from half a second; spread, so that runs do not come in step."""
    base = min(retry_after_s, _RETRY_AFTER_MAX_S) if retry_after_s is not None else 0.5 * 2 ** (tries - 1)
    return base * (1 + random.random() / 4)  # noqa: S311 - a spread, not a secret
