"""Ends holds whose time is up, after asking their runs."""

from collections.abc import Callable
from datetime import timedelta

from common.clock import Clock
from common.log import get_logger
from common.metrics import LEDGER_SWEPT
from usage_ledger.domain.account import Hold
from usage_ledger.domain.recovery import EXTENSION, RunRecord, action_for, estimated, finished
from usage_ledger.store.accounts import Accounts
from usage_ledger.store.conflicts import is_away, until_current
from usage_ledger.store.holds import ExpiredHolds
from usage_ledger.store.runs import RunRecords
from usage_ledger.store.settlements import Settlements

log = get_logger()

_PAGES_MAX = 50


class SweepHolds:
    """One sweep over all expired holds. Any number of processes may sweep at once."""

    def __init__(
        self,
        expired: ExpiredHolds,
        runs: RunRecords,
        accounts: Accounts,
        settlements: Settlements,
        clock: Clock,
        *,
        hold_ttl: timedelta,
        count_tokens: Callable[[str], int],
        accounts_max: int = 100,
    ) -> None:
        self._expired = expired
        self._runs = runs
        self._accounts = accounts
        self._settlements = settlements
        self._clock = clock
        self._hold_ttl = hold_ttl
        self._count_tokens = count_tokens
        self._accounts_max = accounts_max

    async def __call__(self) -> int:
        """Return how many holds were dealt with. Raises Unavailable."""
        swept = 0
        for _ in range(_PAGES_MAX):
            found = await until_current(self._find)
            if not found:
                break
            await self._sweep(found)
            swept += len(found)
        return swept

    async def _find(self) -> list[tuple[str, Hold]]:
        return await self._expired.find(now=self._clock.now(), accounts_max=self._accounts_max)

    async def _sweep(self, found: list[tuple[str, Hold]]) -> None:
        try:
            run_ids = [hold.run_id for _, hold in found]
            runs = await until_current(lambda: self._runs.named(run_ids))
            settled = await until_current(lambda: self._settlements.settled(set(run_ids)))
            for user_id, hold in found:
                await self._end(user_id, hold, runs.get(hold.run_id), is_settled=hold.run_id in settled)
        except Exception as error:
            if is_away(error):
                raise
            # The edge: what cannot be read or booked must not keep other holds from their ends.
            if len(found) > 1:
                for one in found:
                    await self._sweep([one])
                return
            user_id, hold = found[0]
            log.exception("hold_not_swept", run_id=hold.run_id)
            # Whoever mends the run finds its hold as it was; until then it is tried once a minute.
            await self._accounts.extend_hold(hold, user_id=user_id, expires_at=self._clock.now() + EXTENSION)

    async def _end(self, user_id: str, hold: Hold, run: RunRecord | None, *, is_settled: bool) -> None:
        now = self._clock.now()
        action = action_for(hold, run=run, is_settled=is_settled, hold_ttl=self._hold_ttl, now=now)
        if action in {"drop", "release"}:
            await self._accounts.release_hold(run_id=hold.run_id, user_id=user_id)
        elif action == "extend":
            await self._accounts.extend_hold(hold, user_id=user_id, expires_at=now + EXTENSION)
        elif run is not None and action == "settle":
            await self._settlements.book([finished(run, now=now)])
        elif run is not None:
            text_tokens = self._count_tokens(run.text)
            usage = estimated(run, output_tokens=text_tokens, hold_tokens=hold.tokens, now=now)
            await self._settlements.book([usage])
        LEDGER_SWEPT.labels(action=action).inc()
        log.info("hold_swept", action=action, run_id=hold.run_id)
