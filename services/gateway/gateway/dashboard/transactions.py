"""The rows of the ledger: pages of them with what all of them sum to, and all of them one by one."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from common.mongo.client import Database, Document
from common.mongo.usage import UsageSnapshot, usage_snapshot
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
from gateway.dashboard.row_filter import ALL_TIME, RowFilter, within
from gateway.dashboard.row_sums import RowsSum, count_rows, counted_sum, grouped_sum

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
            if wanted.is_counted:
                counts = await count_rows(snapshot, wanted.span)
                total = await counted_sum(snapshot, wanted, counts)
                window = await self._window(snapshot, wanted, counts.buckets(), one_more)
            else:
                total = await grouped_sum(snapshot, wanted)
                window = Window(wanted.span, asked.start, ())
            rows = await self._read(wanted, window, one_more, snapshot) if window else []
        return RowPage(rows=rows[: asked.limit], has_more=len(rows) > asked.limit, sum=total)

    async def latest(self, user_id: str, *, limit: int) -> list[Document]:
        """Return the newest rows of a user."""
        return await self._newest(RowFilter(user_id=user_id), within(ALL_TIME), limit)

    async def all_rows(self, wanted: RowFilter) -> AsyncIterator[list[Document]]:
        """Yield all rows, newest first, in batches, so that any number of them needs little memory.

        Time is read stretch by stretch: nothing is sorted or kept open for long, whatever the database.
        """
        if not wanted.is_counted:
            after: Place | None = None
            while batch := await self._page_after(wanted, after, _BATCH):
                yield batch
                after = batch[-1]["at"], batch[-1]["_id"]
            return
        async for stretch in self._stretches(wanted):
            (query,) = wanted.queries(within(stretch))
            rows = self._db[TRANSACTIONS].find(query).sort(_NEWEST_FIRST).batch_size(_BATCH)
            while batch := await rows.to_list(_BATCH):
                yield batch

    async def _stretches(self, wanted: RowFilter) -> AsyncIterator[Span]:
        async with usage_snapshot(self._db) as snapshot:
            buckets = (await count_rows(snapshot, wanted.span)).buckets()
        small: list[Bucket] = []
        for bucket in buckets:
            if not is_day(bucket) or bucket.count(wanted.kinds) <= _STRETCH_ROWS:
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
        full = [b.span for b in ends.values() if is_day(b) and b.count(wanted.kinds) > _DAY_ROWS]
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
        narrow = replace(wanted, span=window.span)
        if asked.after is not None:
            return await self._page_after(narrow, asked.after, asked.limit, snapshot)
        return await self._newest(narrow, within(window.span), asked.limit, snapshot, skip=window.skip)

    async def _page_after(
        self, wanted: RowFilter, after: Place | None, limit: int, snapshot: UsageSnapshot | None = None
    ) -> list[Document]:
        if after is None:
            return await self._newest(wanted, within(wanted.span), limit, snapshot)
        # Two plain questions instead of one with an `$or`: the index answers both to the end.
        at, row_id = after
        page = await self._newest(wanted, at, limit, snapshot, before_id=row_id)
        if wanted.span.start < at and len(page) < limit:
            earlier = within(Span(wanted.span.start, min(at, wanted.span.end)))
            page += await self._newest(wanted, earlier, limit - len(page), snapshot)
        return page

    async def _newest(
        self,
        wanted: RowFilter,
        at: Any,
        limit: int,
        snapshot: UsageSnapshot | None = None,
        *,
        skip: int = 0,
        before_id: str | None = None,
    ) -> list[Document]:
        session = snapshot.session if snapshot else None
        before = {"_id": {"$lt": before_id}} if before_id is not None else {}
        queries = [query | before for query in wanted.queries(at)]
        rows = self._db[TRANSACTIONS]
        if len(queries) == 1:
            return await rows.find(queries[0], session=session, **_order(limit, skip)).to_list(limit)
        found: list[Document] = []
        for query in queries:
            found += await rows.find(query, session=session, **_order(limit + skip)).to_list(None)
        return sorted(found, key=_place, reverse=True)[skip : skip + limit]


def _order(limit: int, skip: int = 0) -> dict[str, Any]:
    return {"sort": _NEWEST_FIRST, "limit": limit, "skip": skip}


def _place(row: Document) -> Place:
    return row["at"], row["_id"]
