"""The rows of the ledger: pages of them with what all of them sum to, and all of them one by one."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.mongo.client import Database, Document
from common.mongo.usage import Hint, UsageSnapshot, usage_snapshot
from common.usage_rollup import TRANSACTIONS, Span
from gateway.dashboard.row_counts import (
    Bucket,
    Window,
    is_day,
    refined,
    stretches,
    window_after,
    window_before,
)
from gateway.dashboard.row_filter import RowFilter, within
from gateway.dashboard.row_sums import RowsSum, count_rows, counted_sum

_NEWEST_FIRST = [("at", -1), ("_id", -1)]
_DAY_ROWS = 500
"""A day with more rows than this is looked into by its quarters."""
_STRETCH_ROWS = 5_000
_BATCH = 500

Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPage:
    rows: list[Document]
    has_more: bool
    sum: RowsSum


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPage:
    """Up to `limit` rows behind the place `after`, or else from number `start` on, newest first."""

    limit: int
    start: int = 0
    after: Place | None = None


class Transactions:
    """Reads `transactions`, which the ledger writes."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, wanted: RowFilter, asked: AskedPage) -> RowPage:
        """Return a page, and the sum of all rows of the filter at the same moment."""
        one_more = replace(asked, limit=asked.limit + 1)
        async with usage_snapshot(self._db) as snapshot:
            counts = await count_rows(snapshot, wanted)
            total = await counted_sum(snapshot, wanted, counts)
            window = await self._window(snapshot, wanted, counts.buckets(), one_more)
            rows = await self._read(wanted, window, one_more, snapshot) if window else []
        return RowPage(rows=rows[: asked.limit], has_more=len(rows) > asked.limit, sum=total)

    async def latest(self, user_id: str, *, limit: int) -> list[Document]:
        """Return the newest rows of a user."""
        return (await self.page(RowFilter(user_id=user_id), AskedPage(limit=limit))).rows

    async def all_rows(self, wanted: RowFilter) -> AsyncIterator[list[Document]]:
        """Yield all rows, newest first, in batches, so that any number of them needs little memory.

        Time is read stretch by stretch: nothing is sorted or kept open for long, whatever the database.
        """
        async for stretch in self._stretches(wanted):
            query = wanted.query(within(stretch))
            rows = self._db[TRANSACTIONS].find(query, hint=wanted.hint).sort(_NEWEST_FIRST).batch_size(_BATCH)
            while batch := await rows.to_list(_BATCH):
                yield batch

    async def _stretches(self, wanted: RowFilter) -> AsyncIterator[Span]:
        async with usage_snapshot(self._db) as snapshot:
            buckets = (await count_rows(snapshot, wanted)).buckets()
        small: list[Bucket] = []
        for bucket in buckets:
            if not _is_full(bucket, wanted, _STRETCH_ROWS):
                small.append(bucket)
                continue
            async with usage_snapshot(self._db) as snapshot:
                finer = await self._finer(snapshot, [bucket], [bucket.span])
            for part in (small, finer):
                for span in stretches(part, wanted.kinds, rows_max=_STRETCH_ROWS):
                    yield span
            small = []
        for span in stretches(small, wanted.kinds, rows_max=_STRETCH_ROWS):
            yield span

    async def _window(
        self, snapshot: UsageSnapshot, wanted: RowFilter, buckets: Sequence[Bucket], asked: AskedPage
    ) -> Window | None:
        """Find the time in which the page lies: first its days, then the quarters of those that are full."""

        def find(among: Sequence[Bucket], start: int) -> Window | None:
            if asked.after is not None:
                return window_before(among, wanted.kinds, at=asked.after[0], rows=asked.limit)
            return window_after(among, wanted.kinds, skip=start, rows=asked.limit)

        window = find(buckets, asked.start)
        if window is None:
            return None
        ends = {bucket.span.start: bucket for bucket in (window.buckets[0], window.buckets[-1])}
        full = [bucket.span for bucket in ends.values() if _is_full(bucket, wanted, _DAY_ROWS)]
        return find(await self._finer(snapshot, window.buckets, full), window.skip) if full else window

    async def _finer(
        self, snapshot: UsageSnapshot, buckets: Sequence[Bucket], days: Sequence[Span]
    ) -> list[Bucket]:
        """Look into days by their quarters."""
        documents = [d for day in days async for d in snapshot.documents("day", day, fields=("quarters",))]
        return refined(buckets, documents)

    async def _read(
        self, wanted: RowFilter, window: Window, asked: AskedPage, snapshot: UsageSnapshot
    ) -> list[Document]:
        span = window.span
        if asked.after is None:
            query = wanted.query(within(span))
            return await self._newest(query, asked.limit, snapshot, skip=window.skip, hint=wanted.hint)
        # Two plain questions instead of one with an `$or`: the index answers both to the end.
        at, row_id = asked.after
        page: list[Document] = []
        if span.start <= at < span.end:
            same_time = wanted.query(at) | {"_id": {"$lt": row_id}}
            page = await self._newest(same_time, asked.limit, snapshot, hint=wanted.hint)
        if span.start < at and len(page) < asked.limit:
            earlier = wanted.query(within(Span(span.start, min(at, span.end))))
            left = asked.limit - len(page)
            page += await self._newest(earlier, left, snapshot, hint=wanted.hint)
        return page

    async def _newest(
        self, query: Document, limit: int, snapshot: UsageSnapshot, *, skip: int = 0, hint: Hint = None
    ) -> list[Document]:
        found = self._db[TRANSACTIONS].find(query, hint=hint, session=snapshot.session)
        return await found.sort(_NEWEST_FIRST).skip(skip).limit(limit).to_list(limit)


def _is_full(bucket: Bucket, wanted: RowFilter, rows_max: int) -> bool:
    """Tell whether to look at the quarters of a day. Those of a user or a company are not counted."""
    return wanted.owner is None and is_day(bucket) and bucket.count(wanted.kinds) > rows_max
