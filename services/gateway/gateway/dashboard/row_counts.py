"""How many rows the ledger has when, and where among them a page lies: from the rollups of days. Pure.

Rows are listed newest first, and so are the buckets here. A page is looked up in the few buckets that it
lies in, so it costs the same at the end of a million rows as at the beginning.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from common.events.ledger import TransactionKind
from common.usage_rollup import (
    DAY,
    QUARTER,
    TOTALS_KEY,
    Document,
    Figures,
    KindSum,
    Span,
    cover,
    cover_by_days,
    figures_of_row,
    kinds_in,
    row_counters,
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A time, and how many rows of which kind are in it."""

    span: Span
    rows: Mapping[TransactionKind, int]

    def count(self, kinds: Iterable[TransactionKind]) -> int:
        return sum(self.rows.get(kind, 0) for kind in kinds)


class RowCounts:
    """Adds up the rows of a span. The same document may come in several parts.

    `of_months`: from the months of a user or a company, which know days and nothing finer.
    """

    def __init__(self, span: Span, *, of_months: bool = False) -> None:
        self.cover = cover_by_days(span) if of_months else cover(span)
        self._stored: dict[tuple[datetime, datetime], Counter[str]] = {}

    def add_day(self, document: Document) -> None:
        """Take the totals of a whole day."""
        stored = document.get("totals", {}).get(TOTALS_KEY, {})
        self._add(Span(document["at"], document["at"] + DAY), stored)

    def add_month(self, document: Document) -> None:
        """Take those days of a month that are whole days of the span."""
        for number, stored in document.get("days", {}).items():
            day = document["at"] + (int(number) - 1) * DAY
            if self.cover.days.start <= day < self.cover.days.end:
                self._add(Span(day, day + DAY), stored)

    def add_quarters(self, document: Document, part: Span) -> None:
        """Take those quarters of a day that are in a part of it."""
        for quarter, stored in quarters_of(document):
            if part.start <= quarter.start and quarter.end <= part.end:
                self._add(quarter, stored)

    def add_row(self, row: Document, edge: Span) -> None:
        """Take a row that lies on an edge."""
        self._add(edge, figures_of_row(row).stored() | row_counters(row["kind"], row["tokens"]))

    def _add(self, span: Span, stored: Mapping[str, int]) -> None:
        self._stored.setdefault((span.start, span.end), Counter()).update(stored)

    def buckets(self) -> list[Bucket]:
        """Return the times with rows, newest first; they do not overlap."""
        return [
            Bucket(Span(*span), {kind: found.rows for kind, found in kinds_in(stored)})
            for span, stored in sorted(self._stored.items(), reverse=True)
            if stored
        ]

    def kinds(self) -> dict[TransactionKind, KindSum]:
        return dict(kinds_in(self._sum()))

    def figures(self) -> Figures:
        """Return the usage, corrections included."""
        return Figures.of(self._sum())

    def _sum(self) -> Mapping[str, int]:
        sums: Counter[str] = Counter()
        for stored in self._stored.values():
            sums.update(stored)
        return sums


def quarters_of(document: Document) -> Iterator[tuple[Span, Mapping[str, int]]]:
    for number, stored in document.get("quarters", {}).items():
        start = document["at"] + int(number) * QUARTER
        yield Span(start, start + QUARTER), stored


def refined(buckets: Sequence[Bucket], quarters: Iterable[Document]) -> list[Bucket]:
    """Replace whole days by their quarters, where the documents of those days are given."""
    found: dict[datetime, dict[datetime, Counter[str]]] = {}
    for document in quarters:
        of_day = found.setdefault(document["at"], {})
        for quarter, stored in quarters_of(document):
            of_day.setdefault(quarter.start, Counter()).update(stored)
    finer: list[Bucket] = []
    for bucket in buckets:
        of_day = found.get(bucket.span.start) if is_day(bucket) else None
        if of_day is None:
            finer.append(bucket)
            continue
        finer += [
            Bucket(Span(start, start + QUARTER), {kind: k.rows for kind, k in kinds_in(stored)})
            for start, stored in sorted(of_day.items(), reverse=True)
        ]
    return finer


def is_day(bucket: Bucket) -> bool:
    return bucket.span.end - bucket.span.start == DAY


@dataclass(frozen=True, slots=True)
class Window:
    """Where to look for a page: `skip` of its rows, newest first, come before the page."""

    span: Span
    skip: int
    buckets: Sequence[Bucket]


def window_after(
    buckets: Sequence[Bucket], kinds: Iterable[TransactionKind], *, skip: int, rows: int
) -> Window | None:
    """Find the shortest time with the rows from number `skip` on; None when there are not so many."""
    wanted = tuple(kinds)
    chosen: list[Bucket] = []
    found = 0
    for bucket in buckets:
        count = bucket.count(wanted)
        if not chosen and count <= skip:
            skip -= count
            continue
        chosen.append(bucket)
        found += count
        if found >= skip + rows:
            break
    return _window(chosen, skip) if chosen else None


def window_before(
    buckets: Sequence[Bucket], kinds: Iterable[TransactionKind], *, at: datetime, rows: int
) -> Window | None:
    """Find the shortest time that surely has so many rows before `at`; None when nothing is before it."""
    wanted = tuple(kinds)
    chosen: list[Bucket] = []
    found = 0
    for bucket in buckets:
        if bucket.span.start > at:
            continue
        chosen.append(bucket)
        # How many rows of its own bucket come before a moment is not known.
        found += bucket.count(wanted) if bucket.span.end <= at else 0
        if found >= rows:
            break
    return _window(chosen, 0) if chosen else None


def stretches(
    buckets: Sequence[Bucket], kinds: Iterable[TransactionKind], *, rows_max: int
) -> Iterator[Span]:
    """Cut the time with rows into stretches of about so many rows, newest first, for reading all of them."""
    wanted = tuple(kinds)
    chosen: list[Bucket] = []
    found = 0
    for bucket in buckets:
        if not (count := bucket.count(wanted)):
            continue
        if chosen and found + count > rows_max:
            yield _window(chosen, 0).span
            chosen, found = [], 0
        chosen.append(bucket)
        found += count
    if chosen:
        yield _window(chosen, 0).span


def _window(chosen: list[Bucket], skip: int) -> Window:
    return Window(Span(chosen[-1].span.start, chosen[0].span.end), skip, tuple(chosen))
