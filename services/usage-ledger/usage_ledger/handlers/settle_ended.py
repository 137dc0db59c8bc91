"""Settles runs whose end is stored but was never told: their worker died, and their message is lost."""

from datetime import datetime, timedelta

from common.clock import Clock
from common.log import get_logger
from common.metrics import LEDGER_SWEPT
from usage_ledger.domain.recovery import finished
from usage_ledger.store.conflicts import is_away, until_current
from usage_ledger.store.runs import RunRecords
from usage_ledger.store.settlements import Settlements

log = get_logger()

WAITED_FOR = timedelta(seconds=30)
"""How long an end may be on its way through the queue; nothing is lost if it comes later still."""

_LOOKED_AT_ONCE = timedelta(seconds=10)
_BATCH_MAX = 50


class SettleEnded:
    """Looks at every end of a run once, from those that ended a hold's time ago on.

    What ended earlier had its hold swept. Any number of processes may look at once.
    """

    def __init__(
        self, runs: RunRecords, settlements: Settlements, clock: Clock, *, hold_ttl: timedelta
    ) -> None:
        self._runs = runs
        self._settlements = settlements
        self._clock = clock
        self._hold_ttl = hold_ttl
        self._looked_until: datetime | None = None

    async def __call__(self) -> int:
        """Return how many runs were settled. Raises Unavailable."""
        until, settled = self._clock.now() - WAITED_FOR, 0
        at = self._looked_until or until - self._hold_ttl
        while at < until:
            end = min(until, at + _LOOKED_AT_ONCE)
            settled += await self._settle(at, end)
            self._looked_until = at = end
        return settled

    async def _settle(self, start: datetime, end: datetime) -> int:
        run_ids = await until_current(lambda: self._runs.unsettled(start, end))
        batches = [run_ids[first : first + _BATCH_MAX] for first in range(0, len(run_ids), _BATCH_MAX)]
        return sum([await self._book(batch) for batch in batches])

    async def _book(self, run_ids: list[str]) -> int:
        try:
            runs = await until_current(lambda: self._runs.named(run_ids))
            ended = [finished(run, now=self._clock.now()) for run in runs.values()]
            await self._settlements.book(ended)
        except Exception as error:
            if is_away(error):
                raise
            # The edge: what cannot be read or booked must not keep the others, nor what ends later, from it.
            if len(run_ids) > 1:
                return sum([await self._book([run_id]) for run_id in run_ids])
            log.exception("ended_run_not_settled", run_id=run_ids[0])
            return 0
        LEDGER_SWEPT.labels(action="settle").inc(len(ended))
        log.info("ended_runs_settled", run_ids=[run.run_id for run in ended])
        return len(ended)
