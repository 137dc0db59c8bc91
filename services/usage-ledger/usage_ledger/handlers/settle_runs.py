"""`run.finished.v1`, in batches."""

import asyncio

from common.amqp.consumer import outcome_of
from common.amqp.delivery import Delivery, Done, Outcome
from common.errors import Unavailable
from common.events.runs import RunFinishedV1
from common.log import get_logger
from usage_ledger.domain.settlement import FinishedRun
from usage_ledger.store.conflicts import Contended
from usage_ledger.store.settlements import Settlements

log = get_logger()

_PAUSE_S = 1.0
_PAUSE_MAX_S = 30.0


class SettleRuns:
    """Books a batch together; what cannot be booked is kept from spoiling the rest.

    While the database is away the batch waits here, unacknowledged: retry tiers would run out within a
    quarter of an hour, and no usage may become a dead letter for that.
    """

    def __init__(self, settlements: Settlements) -> None:
        self._settlements = settlements

    async def __call__(self, deliveries: list[Delivery]) -> list[Outcome]:
        try:
            await self._book([_run_of(delivery) for delivery in deliveries])
        except Exception as error:  # noqa: BLE001 - the edge: one event must not sink its batch
            log.warning("batch_split", size=len(deliveries), error=type(error).__name__)
            return [await self._book_alone(delivery) for delivery in deliveries]
        return [Done()] * len(deliveries)

    async def _book_alone(self, delivery: Delivery) -> Outcome:
        try:
            await self._book([_run_of(delivery)])
        except Exception as error:  # noqa: BLE001 - the edge: any failure becomes an outcome
            return outcome_of(error)
        return Done()

    async def _book(self, runs: list[FinishedRun]) -> None:
        pause_s = _PAUSE_S
        while True:
            try:
                return await self._settlements.book(runs)
            except Contended:
                raise
            except Unavailable as error:
                log.warning("settlements_wait", runs=len(runs), code=error.code, pause_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)


def _run_of(delivery: Delivery) -> FinishedRun:
    event = delivery.message
    assert isinstance(event, RunFinishedV1)
    return FinishedRun(
        run_id=event.run_id,
        thread_id=event.thread_id,
        user_id=event.user_id,
        company=event.company,
        usage=event.usage,
        estimated=event.usage_source == "estimate",
        model=event.model,
        assistant=event.assistant,
        finished_at=event.occurred_at,
        actor="chat-worker",
        reason=f"run {event.status}",
        attempt=event.attempt,
    )
