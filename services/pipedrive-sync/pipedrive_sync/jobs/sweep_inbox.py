"""Makes sure that every row of the inbox is decided, whatever became of its message on the queue."""

from datetime import datetime, timedelta

from pymongo.errors import ConnectionFailure

from common.clock import Clock
from common.errors import Unavailable
from common.integration_inbox import KEPT_DAYS, InboxRow
from common.log import get_logger
from pipedrive_sync.handlers.handle_notification import HandleNotification
from pipedrive_sync.store.inbox import Result
from pipedrive_sync.store.stores import Stores

log = get_logger()

_CURSOR = "inbox"
_ROWS_MAX = 500
_GIVEN_UP_AFTER = timedelta(hours=1)
"""So long a row that cannot be handled is tried again; the fault is ours, and the log has it."""


class SweepInbox:
    """Rows younger than `lag` are left to the queue; it also covers gateways whose clocks differ."""

    def __init__(
        self,
        stores: Stores,
        *,
        handle: HandleNotification,
        clock: Clock,
        lag: timedelta = timedelta(seconds=30),
    ) -> None:
        self._stores = stores
        self._handle = handle
        self._clock = clock
        self._lag = lag

    async def once(self) -> int:
        """Decide what was left over; return how many rows that were.

        The cursor stops at the first row that stays undecided, so nothing is ever passed over. Rows after it
        are handled all the same; those that wait for the quota field wait together.
        """
        now = self._clock.now()
        after = await self._stores.cursors.time(_CURSOR) or now - timedelta(days=KEPT_DAYS)
        until = now - self._lag
        left_over = 0
        open_since: datetime | None = None
        while True:
            rows = await self._stores.inbox.received(after=after, until=until, rows_max=_ROWS_MAX)
            for row, is_decided in rows:
                if is_decided:
                    continue
                if not await self._is_settled(row):
                    open_since = open_since or row.received_at
                    continue
                left_over += 1
                log.warning("inbox_swept", id=row.id)
            full = len(rows) == _ROWS_MAX and rows[-1][0].received_at > after
            after = rows[-1][0].received_at if rows else until
            await self._stores.cursors.set_time(_CURSOR, open_since or after)
            if not full or self._handle.is_too_early:
                return left_over

    async def _is_settled(self, row: InboxRow) -> bool:
        try:
            result = await self._handle.handle(row)
        except (Unavailable, ConnectionFailure):
            # Something is away, for all rows alike: the next turn begins here again.
            raise
        except Exception:
            # The edge: one row that cannot be handled must not keep those after it waiting.
            log.exception("inbox_row_failed", id=row.id)
            if self._clock.now() - row.received_at < _GIVEN_UP_AFTER:
                return False
            await self._stores.inbox.decide(
                row.id, Result(status="rejected", why="it cannot be handled: see the log")
            )
            return True
        return result is not None or await self._stores.inbox.is_decided(row.id)
