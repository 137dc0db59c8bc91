"""Finds runs whose worker died and whose message is lost, and drives them to their end."""

import asyncio

from pymongo.errors import PyMongoError

from chat_worker.runs.execute import ExecuteRun
from chat_worker.runs.records import Claim
from chat_worker.runs.repository import Damaged, RunRepository
from common.amqp.delivery import Done
from common.errors import Unavailable
from common.log import get_logger

log = get_logger()

_END_WITHIN_S = 5


class Recovery:
    """Looks for dead leases now and then. A delivery usually comes first; this is for when none does."""

    def __init__(self, runs: RunRepository, execute: ExecuteRun, *, every_s: float) -> None:
        self._runs = runs
        self._execute = execute
        self._every_s = every_s
        self._driving: set[asyncio.Task[None]] = set()
        self._draining = False

    async def run(self) -> None:
        """Look until cancelled. What is found is driven beside, so that a long run delays no other."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                damaged: set[str] = set()
                while not self._draining and await self._take_one(damaged):
                    pass
            except PyMongoError as error:
                log.warning("recovery_failed", error=type(error).__name__)
            except Exception:
                # The edge: whatever it is, the next look may find others that can be helped.
                log.exception("recovery_failed")

    async def drain(self, *, grace_s: float) -> None:
        """Take nothing new; let what is driven end within the grace, and hand the rest back."""
        self._draining = True
        if not self._driving:
            return
        _, late = await asyncio.wait(self._driving, timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_END_WITHIN_S)

    async def _take_one(self, damaged: set[str]) -> bool:
        """Take one run, or pass one over that cannot be read; False when this look has come to its end."""
        slots = self._execute.slots
        if slots.locked():
            return False
        await slots.acquire()
        claim: Claim | Damaged | None = None
        try:
            # What this process drives is not dead: only its lease is, while the database was away.
            driven = self._execute.active.run_ids()
            claim = await self._runs.take_over_expired(besides=[*damaged, *driven])
        finally:
            if not isinstance(claim, Claim):
                slots.release()
        if claim is None:
            return False
        if isinstance(claim, Damaged):
            log.error("run_damaged", run_id=claim.run_id)
            damaged.add(claim.run_id)
            return True
        log.warning("run_taken_over", run_id=claim.run_id)
        task = asyncio.create_task(self._drive(claim))
        self._driving.add(task)
        task.add_done_callback(self._driving.discard)
        return True

    async def _drive(self, claim: Claim) -> None:
        try:
            if not await self._is_driven(claim):
                await self._carry_out(claim)
        except Exception:
            log.exception("recovery_failed", run_id=claim.run_id)

    async def _is_driven(self, claim: Claim) -> bool:
        """Drive a run in the slot that was taken for it. False: a part that it needs is away."""
        try:
            await self._execute.drive(claim)
        except Unavailable as error:
            log.warning("recovery_postponed", run_id=claim.run_id, code=error.code)
            return False
        finally:
            self._execute.slots.release()
        return True

    async def _carry_out(self, claim: Claim) -> None:
        """Go on until the run's end is announced: its message is lost, so nobody else would do that soon."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                if isinstance(await self._execute.carry_out(claim.request), Done):
                    return
            except Unavailable as error:
                log.warning("recovery_postponed", run_id=claim.run_id, code=error.code)
