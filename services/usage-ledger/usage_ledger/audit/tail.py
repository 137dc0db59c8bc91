"""The audit that goes on beside the ledger: what came since the last pass, again and again."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo.errors import PyMongoError

from common.clock import Clock
from common.health import Notice
from common.log import get_logger
from common.metrics import LEDGER_AUDITED_AT, LEDGER_VIOLATIONS
from common.mongo.client import Database
from common.usage_rollup import DAY, day_start
from usage_ledger.audit.audit import Audit
from usage_ledger.audit.violation import CODES, Violation

log = get_logger()

_OVERLAP = timedelta(minutes=2)
_BATCH_MAX = 500
_LOGGED_MAX = 100
"""Violations that are logged of one pass. The metric counts all of them."""
_SHARE_MAX = 0.1
"""Of the time, at most so much is spent auditing: a pass that takes long is followed by a longer pause."""


class TailAudit:
    """Audits from where the last clean pass began, after a start from yesterday on.

    What is broken stays in view: the next pass begins where this one did, for two days at most. The whole
    ledger is for `python -m usage_ledger audit`.
    """

    def __init__(self, db: Database, clock: Clock, *, hold_ttl: timedelta) -> None:
        self._db = db
        self._clock = clock
        self._hold_ttl = hold_ttl
        self._since: datetime | None = None
        self._found: Counter[str] = Counter()
        self._logged: set[Violation] = set()

    async def run(self, every_s: float) -> None:
        """Audit until cancelled. A pass that could not look is logged, and its metric of the time stands."""
        await asyncio.sleep(random.uniform(0, every_s))  # noqa: S311 - spreads the replicas
        while True:
            started_s = self._clock.monotonic_s()
            try:
                await self.audit()
            except PyMongoError as error:
                log.warning("audit_could_not_run", error=type(error).__name__)
            except Exception:
                # The edge: what cannot be read at all must not end the loop.
                log.exception("audit_failed")
            took_s = self._clock.monotonic_s() - started_s
            await asyncio.sleep(max(every_s - took_s, took_s * (1 - _SHARE_MAX) / _SHARE_MAX))

    async def audit(self) -> None:
        """Do one pass, into the metrics. Raises PyMongoError when it cannot look."""
        now = self._clock.now()
        two_days = day_start(now) - DAY
        since = max(self._since or two_days, two_days)
        found: Counter[str] = Counter()
        seen: set[Violation] = set()
        audit = Audit(self._db, self._clock, hold_ttl=self._hold_ttl, since=since, batch_max=_BATCH_MAX)
        async for violation in audit.run():
            found[violation.code] += 1
            if len(seen) < _LOGGED_MAX:
                seen.add(violation)
                self._log(violation)
        self._logged = seen
        for code in CODES:
            LEDGER_VIOLATIONS.labels(code=code).set(found[code])
        LEDGER_AUDITED_AT.set(self._clock.now().timestamp())
        self._found = found
        self._since = since if found else now - _OVERLAP

    def _log(self, violation: Violation) -> None:
        """Log what the last pass did not find already."""
        if violation not in self._logged:
            log.error("audit_violation", code=violation.code, what=violation.what, **dict(violation.ids))

    async def check(self) -> Sequence[str]:
        """Say what the last pass found. The ledger works on: to stop would mend nothing."""
        return [
            Notice(f"audit {code}: {self._found[code]} times not so: {CODES[code]}")
            for code in CODES
            if self._found[code]
        ]
