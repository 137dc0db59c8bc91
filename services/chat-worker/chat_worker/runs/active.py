"""The runs that this process drives now: their leases, and how each can be stopped."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from pymongo.errors import PyMongoError

from chat_worker.runs.attempt import Attempt, Ending
from chat_worker.runs.records import Claim
from chat_worker.runs.repository import Progress, RunRepository
from chat_worker.stream.output import RunOutput
from common.log import get_logger
from common.metrics import RUNS_ACTIVE

log = get_logger()

StopReason = Literal["cancelled", "lost", "timeout"]


@dataclass(slots=True, kw_only=True)
class ActiveRun:
    """One run in this process. `stopped` says why its attempt was ended from outside, if it was."""

    claim: Claim
    output: RunOutput
    stopped: StopReason | None = None
    attempt: Attempt | None = None
    _task: asyncio.Task[Ending] | None = None

    def stop(self, reason: StopReason) -> None:
        """End the attempt. The first reason counts."""
        if self.stopped is None:
            self.stopped = reason
            if self._task is not None:
                self._task.cancel()

    async def drive(self, attempt: Attempt, *, timeout_s: float) -> Ending | None:
        """Run the attempt in a task of its own; None when it was stopped before the model had ended it."""
        self.attempt = attempt
        if timeout_s <= 0:
            self.stop("timeout")
        self._task = task = asyncio.create_task(attempt.drive())
        try:
            if self.stopped is not None:
                # Before its first step: the model is not asked.
                task.cancel()
            await asyncio.wait({task}, timeout=timeout_s)
            if not task.done():
                self.stop("timeout")
                await asyncio.wait({task})
            return attempt.ending if task.cancelled() else task.result()
        finally:
            task.cancel()

    @property
    def starts(self) -> int:
        """How often the model was, or may have been, asked for this run."""
        return self.claim.starts if self.attempt is None else self.attempt.starts

    def progress(self) -> Progress:
        return Progress(fence=self.claim.fence, text=self.output.text, last_sequence=self.output.sequence)


class ActiveRuns:
    """Registry of the process's runs; renews all their leases with one write."""

    def __init__(self, runs: RunRepository, *, lease_s: float) -> None:
        self._runs = runs
        self._renew_every_s = lease_s / 3
        self._active: dict[str, ActiveRun] = {}

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._active

    def run_ids(self) -> list[str]:
        return list(self._active)

    def add(self, claim: Claim, output: RunOutput) -> ActiveRun:
        """Begin a claim. An older one of the same run in this process is lost to it."""
        if older := self._active.get(claim.run_id):
            log.warning("run_lost", run_id=claim.run_id, fence=older.claim.fence)
            older.stop("lost")
        active = ActiveRun(claim=claim, output=output)
        self._active[claim.run_id] = active
        RUNS_ACTIVE.set(len(self._active))
        return active

    def remove(self, active: ActiveRun) -> None:
        if self._active.get(active.claim.run_id) is active:
            del self._active[active.claim.run_id]
        RUNS_ACTIVE.set(len(self._active))

    def cancel(self, run_id: str) -> None:
        """Stop a run because its user asked for it; unknown runs are another worker's."""
        if active := self._active.get(run_id):
            active.stop("cancelled")

    async def keep_leases(self) -> None:
        """Renew until cancelled. A run that is lost to another worker is stopped."""
        while True:
            await asyncio.sleep(self._renew_every_s)
            try:
                lost = await self._runs.renew(
                    {run_id: run.progress() for run_id, run in self._active.items()}
                )
            except PyMongoError as error:
                log.warning("leases_not_renewed", runs=len(self._active), error=type(error).__name__)
                continue
            for run_id in lost:
                if active := self._active.get(run_id):
                    log.warning("run_lost", run_id=run_id, fence=active.claim.fence)
                    active.stop("lost")
