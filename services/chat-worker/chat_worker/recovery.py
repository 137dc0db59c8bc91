"""Finds runs whose worker died and whose message is lost, and drives them to their end."""

import asyncio

from pymongo.errors import PyMongoError

from chat_worker.runs.execute import ExecuteRun
from chat_worker.runs.repository import RunRepository
from common.errors import Unavailable
from common.log import get_logger

log = get_logger()

_AT_ONCE_MAX = 10


async def recover_runs(runs: RunRepository, execute: ExecuteRun, *, every_s: float) -> None:
    """Look for dead leases until cancelled. A delivery usually comes first; this is for when none does."""
    while True:
        await asyncio.sleep(every_s)
        try:
            claims = [claim async for claim in runs.take_over_expired(limit=_AT_ONCE_MAX)]
        except PyMongoError as error:
            log.warning("recovery_failed", error=type(error).__name__)
            continue
        if claims:
            log.warning("runs_taken_over", runs=[claim.run_id for claim in claims])
        results = await asyncio.gather(*(execute.drive(claim) for claim in claims), return_exceptions=True)
        for claim, result in zip(claims, results, strict=True):
            if isinstance(result, Unavailable):
                log.warning("recovery_postponed", run_id=claim.run_id, code=result.code)
            elif isinstance(result, BaseException):
                log.error("recovery_failed", run_id=claim.run_id, exc_info=result)
