"""Pages are found by counts, and are the same pages that sorting all rows would give."""

from datetime import datetime
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from common.events.ledger import TransactionKind
from common.usage_rollup import Document, Figures, KindSum, Span, figures_of_row, parts_within
from gateway.dashboard.row_counts import (
    RowCounts,
    Window,
    is_day,
    refined,
    stretches,
    window_after,
    window_before,
)
from support.ledger_rows import FIRST, LAST, documents, histories, moments, rollups
from usage_ledger.domain.transaction import Transaction

KINDS: tuple[TransactionKind, ...] = get_args(TransactionKind)
chosen_kinds = st.sampled_from([KINDS, ("usage",), ("grant",), ("correction",)])


def counted(found: list[Transaction], span: Span, *, folded: int = 0) -> RowCounts:
    """Count as `row_sums.count_rows` does, from documents in memory."""
    counts = RowCounts(span)
    stored = rollups(found, folded=folded)
    for document in parts_within(stored, "day", counts.cover.days):
        counts.add_day(document)
    for part in counts.cover.quarters:
        day = Span(part.start.replace(hour=0, minute=0), part.end)
        for document in parts_within(stored, "day", day):
            counts.add_quarters(document, part)
    for edge in counts.cover.edges:
        for row in documents(found):
            if edge.start <= row["at"] < edge.end:
                counts.add_row(row, edge)
    return counts


def rows_of(
    found: list[Transaction], span: Span, kinds: tuple[TransactionKind, ...] = KINDS
) -> list[Document]:
    return [row for row in documents(found) if span.start <= row["at"] < span.end and row["kind"] in kinds]


@settings(max_examples=200, deadline=None)
@given(found=histories(), bounds=st.tuples(moments, moments), folded=st.integers(0, 40))
def test_counts_of_any_span_are_those_of_its_rows(
    found: list[Transaction], bounds: tuple[datetime, datetime], folded: int
):
    span = Span(*sorted(bounds))
    counts, rows = counted(found, span, folded=folded), rows_of(found, span)
    expected = {
        kind: KindSum(len(of_kind), sum(row["tokens"] for row in of_kind))
        for kind in KINDS
        if (of_kind := [row for row in rows if row["kind"] == kind])
    }
    assert counts.kinds() == expected
    assert counts.figures() == sum((figures_of_row(row) for row in rows), Figures())
    assert sum(bucket.count(KINDS) for bucket in counts.buckets()) == len(rows)


def page_in(window: Window | None, rows: list[Document], limit: int) -> list[str]:
    if window is None:
        return []
    inside = [row["_id"] for row in rows if window.span.start <= row["at"] < window.span.end]
    return inside[window.skip : window.skip + limit]


@settings(max_examples=200, deadline=None)
@given(
    found=histories(),
    bounds=st.tuples(moments, moments),
    start=st.integers(0, 45),
    limit=st.integers(1, 10),
    kinds=chosen_kinds,
    finer=st.booleans(),
)
def test_a_page_from_any_number_on_lies_in_its_window(
    found: list[Transaction],
    bounds: tuple[datetime, datetime],
    start: int,
    limit: int,
    kinds: tuple[TransactionKind, ...],
    finer: bool,  # noqa: FBT001
):
    span = Span(*sorted(bounds))
    rows = rows_of(found, span, kinds)
    window = window_after(counted(found, span).buckets(), kinds, skip=start, rows=limit)
    if window is not None and finer:
        days = [bucket.span for bucket in window.buckets if is_day(bucket)]
        quarters = [d for day in days for d in parts_within(rollups(found, folded=0), "day", day)]
        window = window_after(refined(window.buckets, quarters), kinds, skip=window.skip, rows=limit)
    assert page_in(window, rows, limit) == [row["_id"] for row in rows[start : start + limit]]


@settings(max_examples=200, deadline=None)
@given(
    found=histories(),
    at=moments,
    limit=st.integers(1, 10),
    kinds=chosen_kinds,
    finer=st.booleans(),
)
def test_a_page_behind_a_moment_lies_in_its_window(
    found: list[Transaction],
    at: datetime,
    limit: int,
    kinds: tuple[TransactionKind, ...],
    finer: bool,  # noqa: FBT001
):
    span = Span(FIRST, LAST)
    buckets = counted(found, span).buckets()
    window = window_before(buckets, kinds, at=at, rows=limit)
    if window is not None and finer:
        days = [bucket.span for bucket in window.buckets if is_day(bucket)]
        quarters = [d for day in days for d in parts_within(rollups(found, folded=0), "day", day)]
        window = window_before(refined(window.buckets, quarters), kinds, at=at, rows=limit)
    before = [row for row in rows_of(found, span, kinds) if row["at"] < at]
    assert page_in(window, before, limit) == [row["_id"] for row in before[:limit]]


@given(found=histories(), bounds=st.tuples(moments, moments), rows_max=st.integers(1, 10), kinds=chosen_kinds)
def test_stretches_have_all_rows_in_their_order(
    found: list[Transaction],
    bounds: tuple[datetime, datetime],
    rows_max: int,
    kinds: tuple[TransactionKind, ...],
):
    span = Span(*sorted(bounds))
    spans = list(stretches(counted(found, span).buckets(), kinds, rows_max=rows_max))
    read = [row["_id"] for part in spans for row in rows_of(found, part, kinds)]
    assert read == [row["_id"] for row in rows_of(found, span, kinds)]
