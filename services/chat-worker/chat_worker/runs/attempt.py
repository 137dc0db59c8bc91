"""One attempt at a run: from the model's events to text, through every way in which a stream can fail.

The rules, from before the first text to after it:
- refused before anything began and worth another try: again, a few times, after a pause;
- sent without an answer, or cut before the first text: once more from the start;
- cut after the first text: re-attached where the provider keeps the response, else the run is interrupted;
- never two attempts of a run at the same time, and never a second start once text was shown.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from chat_worker.engine.interface import (
    Annotation,
    Delta,
    Engine,
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
_RESTARTS_MAX = 1
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
    """Drives the model for one claim. What it has learnt stands in its fields, also after a failure."""

    claim: Claim
    spec: RunSpec
    engine: Engine
    runs: KeptResponses
    writer: Writer
    output: RunOutput
    clock: Clock
    started_s: float
    response_id: str | None = None
    background: bool = False
    model_called: bool = False
    annotations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    files: list[FileCited] = field(default_factory=list[FileCited])
    _skip_characters: int = 0
    _busy: int = 0
    _lost: int = 0
    _restarts: int = 0

    def __post_init__(self) -> None:
        self.response_id = self.claim.response_id
        self.background = self.claim.background
        self.model_called = self.claim.is_takeover
        self._restarts = max(0, self.claim.fence - 2)

    async def drive(self) -> Ending:
        """Stream until the run has an end. Raises Unavailable when the run cannot be stored as started."""
        if self.claim.is_takeover and not self._can_resume and not self._can_restart:
            return Ending(status="interrupted", error=INTERRUPTED)
        while True:
            try:
                return await self._consume(self._source())
            except ProviderBusy as error:
                self._busy += 1
                if self._busy > _BUSY_TRIES_MAX:
                    return self._failed(error.error)
                await asyncio.sleep(_pause_s(self._busy, error.retry_after_s))
            except ProviderRefused as error:
                if self._can_resume:
                    return await self._from_snapshot()
                return self._failed(error.error)
            except (ProviderAmbiguous, StreamLost) as error:
                log.warning("model_stream_lost", run_id=self.claim.run_id, kind=type(error).__name__)
                if ending := await self._after_loss():
                    return ending

    @property
    def _can_resume(self) -> bool:
        return self.background and self.response_id is not None

    @property
    def _can_restart(self) -> bool:
        return not self.output.text and self._restarts < _RESTARTS_MAX

    def _source(self) -> AsyncIterator[EngineEvent]:
        if self._can_resume:
            self._skip_characters = len(self.output.text)
            return self.engine.resume(cast(str, self.response_id))
        self.model_called = True
        return self.engine.run(self.spec)

    async def _after_loss(self) -> Ending | None:
        """Decide what follows a lost stream; None means another round."""
        self._lost += 1
        if self._can_resume:
            if self._lost > _RESUMES_MAX:
                return await self._from_snapshot()
            await asyncio.sleep(_pause_s(self._lost, None))
            return None
        if not self._can_restart:
            return Ending(status="interrupted", error=INTERRUPTED)
        self._restarts += 1
        await asyncio.sleep(_pause_s(1, None))
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
                            return Ending(status=event.status, reported=event.usage, error=event.error)
        except TimeoutError:
            if not queued.expired():
                raise
            await self._give_up_queued()
        raise StreamLost

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
            await self.engine.cancel(response_id)

    async def _from_snapshot(self) -> Ending:
        """Take the answer as the provider stored it, since it cannot be streamed any more."""
        snapshot = await self.snapshot(tries=3)
        if snapshot is None or snapshot.finished is None:
            return Ending(status="interrupted", error=INTERRUPTED)
        if len(snapshot.text) > len(self.output.text):
            self.writer.text(self.output, snapshot.text[len(self.output.text) :])
        for data in snapshot.annotations:
            self._note(data)
        for file in snapshot.files:
            self._cite(file)
        finished = snapshot.finished
        return Ending(status=finished.status, retrieved=finished.usage, error=finished.error)

    async def snapshot(self, *, tries: int) -> Snapshot | None:
        """Ask the provider for the stored response until it is finished, a few times."""
        snapshot: Snapshot | None = None
        for attempt in range(tries):
            if not self._can_resume:
                return None
            snapshot = await self.engine.retrieve(cast(str, self.response_id))
            if snapshot is not None and snapshot.finished is not None:
                return snapshot
            await asyncio.sleep(_pause_s(attempt + 1, None))
        return snapshot

    async def stop(self) -> TokenUsage | None:
        """Stop what the provider still does for this run; return the usage if it tells."""
        if not self._can_resume:
            return None
        try:
            snapshot = await self.engine.cancel(cast(str, self.response_id))
        except ModelError as error:
            log.warning("provider_cancel_failed", run_id=self.claim.run_id, kind=type(error).__name__)
            snapshot = None
        if snapshot is None or snapshot.finished is None or snapshot.finished.usage is None:
            snapshot = await self.snapshot(tries=2)
        return snapshot.finished.usage if snapshot and snapshot.finished else None

    def _failed(self, error: ProviderError) -> Ending:
        return Ending(status="failed", error=error)


def _pause_s(tries: int, retry_after_s: float | None) -> float:
    """Wait as the provider says, else double from half a second; spread, so that runs do not come in step."""
    base = min(retry_after_s, _RETRY_AFTER_MAX_S) if retry_after_s is not None else 0.5 * 2 ** (tries - 1)
    return base * (1 + random.random() / 4)  # noqa: S311 - a spread, not a secret
