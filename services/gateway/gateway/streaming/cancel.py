"""The stop button: durable first, then told to the worker, then a moment of patience."""

import asyncio
from dataclasses import dataclass

import orjson

from common.clock import Clock
from common.errors import NotFound
from common.events.runs import RunCancelRequestedV1
from common.ids import new_id
from gateway.publisher import EventPublisher
from gateway.streaming.follower import Follower
from gateway.streaming.hub import RunHub
from gateway.streaming.stored_runs import ACTIVE, StoredRuns
from gateway.threads.repository import ThreadRepository

_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRun:
    """Stops a run of the user's. Again is harmless; a run that has ended stays as it is."""

    threads: ThreadRepository
    stored: StoredRuns
    hub: RunHub
    publisher: EventPublisher
    clock: Clock
    patience_s: float = _PATIENCE_S

    async def __call__(self, user_id: str, run_id: str) -> str:
        """Return the run's status: `active` if it has not ended yet, which it will.

        Raises NotFound, and Unavailable when no worker could be told: a run that is not taken up yet is
        stopped all the same, one that is being written goes on until it is asked again.
        """
        run = await self.stored.find(run_id, user_id)
        if run is not None and run.is_terminal:
            return run.state
        await self.request(user_id, run_id)
        with self.hub.follow(run_id, user_id, after_sequence=run.last_sequence if run else 0) as follower:
            try:
                async with asyncio.timeout(self.patience_s):
                    return await _status_at_end(follower)
            except TimeoutError:
                return ACTIVE

    async def request(self, user_id: str, run_id: str) -> None:
        """Ask for the run's end without waiting for it. Raises as a call does."""
        now = self.clock.now()
        if not await self.threads.mark_cancel_requested(user_id, run_id, now=now):
            raise NotFound("There is no such run")
        await self.publisher.publish(
            RunCancelRequestedV1(event_id=new_id("e"), occurred_at=now, run_id=run_id)
        )


async def _status_at_end(follower: Follower) -> str:
    status = ACTIVE
    async for events in follower:
        if events and events[-1].is_last:
            status = orjson.loads(events[-1].data)["status"]
    return status
