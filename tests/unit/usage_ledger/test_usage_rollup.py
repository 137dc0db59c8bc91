"""Rolled up usage against a plain sum over rows, in many zones."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.events.envelope import Company
from common.events.ledger import TransactionKind
from common.usage_rollup import (
    QUARTER,
    Document,
    Figures,
    KindSum,
    Span,
    cover,
    day_start,
    escape,
    kinds_in,
    local_days,
    quarter_of_day,
    quarter_start,
    split_user_key,
    unescape,
    user_key,
)
from common.usage_sums import UsageSums
from support.ledger_rows import ZONES, read_for
from usage_ledger.domain.rollup import increments, merged
from usage_ledger.domain.transaction import Transaction

START = datetime(2026, 10, 20, tzinfo=UTC)
moments = st.datetimes(START.replace(tzinfo=None), datetime(2026, 11, 8), timezones=st.just(UTC))  # noqa: DTZ001
close_together = st.integers(0, 40).map(lambda minutes: START + timedelta(days=5, minutes=minutes))
names = st.text(min_size=1, max_size=8)
models = st.sampled_from(["gpt-5.5", "small", "a.b$c"])


@st.composite
def rows(draw: st.DrawFn) -> Transaction:
    kinds: list[TransactionKind] = ["usage", "usage", "usage", "correction"]
    kind = draw(st.sampled_from(kinds))
    figure = st.integers(-50, 50) if kind == "correction" else st.integers(0, 1_000)
    usage = {
        name: draw(figure) for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    }
    company = draw(st.sampled_from([None, Company(id="a.b$c", name="A"), Company(id="acme", name="Acme")]))
    return Transaction(
        id=draw(st.uuids()).hex,
        user_id=draw(st.sampled_from(["u1", "u2", "u.3", "u~4"])),
        company=company,
        kind=kind,
        tokens=-usage["input_tokens"] - usage["output_tokens"],
        balance_before=0,
        balance_after=0,
        sequence=1,
        actor="a",
        reason="r",
        at=draw(moments | close_together),
        details={"usage": usage, "estimated": draw(st.booleans()), "model": draw(models)},
    )


@st.composite
def other_rows(draw: st.DrawFn) -> Transaction:
    kinds: list[TransactionKind] = ["opening", "grant", "adjustment", "quota"]
    kind, tokens = draw(st.sampled_from(kinds)), draw(st.integers(-50, 50))
    return replace(draw(rows()), kind=kind, tokens=tokens, details={})


def figures_of(row: Transaction) -> Figures:
    is_run = row.kind == "usage"
    estimated = int(row.details["estimated"])
    return Figures(
        **row.details["usage"], runs=int(is_run), estimated_runs=estimated if is_run else estimated - 1
    )


def row_document(row: Transaction) -> Document:
    return {
        "user_id": row.user_id,
        "company": row.company.model_dump() if row.company else None,
        "kind": row.kind,
        "at": row.at,
        **row.details,
    }


def summed(sums: UsageSums[date], stored: list[Document], all_rows: list[Transaction]) -> UsageSums[date]:
    """Feed it what `common.mongo.usage` reads, from documents in memory."""
    for document in read_for(sums, stored):
        sums.add(document)
    for edge in sums.cover.edges:
        for row in all_rows:
            if edge.start <= row.at < edge.end and row.kind in {"usage", "correction"}:
                sums.add_row(row_document(row))
    return sums


@settings(max_examples=300, deadline=None)
@given(
    all_rows=st.lists(rows() | rows() | other_rows(), max_size=12),
    split_at=st.integers(0, 12),
    bounds=st.tuples(moments, moments),
    on_midnights=st.booleans(),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)
def test_every_sum_is_that_of_the_rows_in_every_zone(
    all_rows: list[Transaction],
    split_at: int,
    bounds: tuple[datetime, datetime],
    on_midnights: bool,  # noqa: FBT001
    zone: ZoneInfo,
):
    start, end = sorted(bounds)
    if on_midnights:
        start, end = midnight(start, zone), midnight(end, zone)
    span = Span(start, end)
    # Some is folded, in two turns, and some is not folded yet.
    folded = merged(
        [*merged(increments(all_rows[:split_at])), *increments(all_rows[split_at : split_at + 2])]
    )
    stored = [*folded, *increments(all_rows[split_at + 2 :])]
    found = summed(UsageSums(span, list(local_days(span, zone))), stored, all_rows)
    within = [r for r in all_rows if start <= r.at < end and r.kind in {"usage", "correction"}]

    expected_by_day: defaultdict[date, Figures] = defaultdict(Figures)
    expected_by_user: defaultdict[str, Figures] = defaultdict(Figures)
    expected_by_company: defaultdict[str | None, Figures] = defaultdict(Figures)
    expected_by_model: defaultdict[str, Figures] = defaultdict(Figures)
    for row in within:
        expected_by_day[row.at.astimezone(zone).date()] += figures_of(row)
        expected_by_user[row.user_id] += figures_of(row)
        expected_by_company[row.company.id if row.company else None] += figures_of(row)
        expected_by_model[row.details["model"]] += figures_of(row)
    assert {day: f for day, f in found.by_part() if f != Figures()} == without_nothing(expected_by_day)
    assert found.by_user() == expected_by_user
    assert found.by_company() == expected_by_company
    assert found.by_model() == expected_by_model
    for place, (day, _) in enumerate(found.parts):
        runs = [r for r in within if r.kind == "usage" and r.at.astimezone(zone).date() == day]
        assert found.active_users([place]) == len({row.user_id for row in runs})

    plain = summed(UsageSums(span, [(span.start.date(), span)], details=False), stored, all_rows)
    assert plain.totals() == found.totals() == sum(map(figures_of, within), Figures())
    assert plain.active() == found.active()
    assert plain.by_user() == {}


def without_nothing(figures: Mapping[date, Figures]) -> dict[date, Figures]:
    return {name: f for name, f in figures.items() if f != Figures()}


def midnight(at: datetime, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone)
    return local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


@given(bounds=st.tuples(moments, moments))
def test_a_cover_is_the_span_without_gap_or_overlap(bounds: tuple[datetime, datetime]):
    start, end = sorted(bounds)
    whole = cover(Span(start, end))
    parts = sorted(
        [s for s in (whole.days, *whole.quarters, *whole.edges) if not s.is_empty], key=lambda s: s.start
    )
    assert sum((s.end - s.start for s in parts), timedelta()) == end - start
    assert all(a.end == b.start for a, b in pairwise(parts))
    assert all(s.start == quarter_start(s.start) for s in whole.quarters)
    assert all(s.end - s.start < QUARTER for s in whole.edges)
    assert whole.days.is_empty or whole.days.start == day_start(whole.days.start)


@given(bounds=st.tuples(moments, moments), zone=st.sampled_from(ZONES).map(ZoneInfo))
def test_local_days_are_the_span_cut_at_midnight(bounds: tuple[datetime, datetime], zone: ZoneInfo):
    start, end = sorted(bounds)
    days = list(local_days(Span(start, end), zone))
    assert sum((part.end - part.start for _, part in days), timedelta()) == end - start
    for day, part in days:
        assert part.start.astimezone(zone).date() == day
        assert (part.end - timedelta(milliseconds=1)).astimezone(zone).date() == day


def test_a_day_has_25_hours_where_the_clock_goes_back():
    zone = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 10, 25, tzinfo=zone).astimezone(UTC)
    ((_, part),) = local_days(Span(start, start + timedelta(hours=25)), zone)
    assert part.end - part.start == timedelta(hours=25)


@given(user=st.text(max_size=10), company=st.none() | st.text(max_size=10))
def test_a_user_key_is_a_field_name_and_tells_user_and_company(user: str, company: str | None):
    key = user_key(user, company)
    assert key
    assert not set(key) & set(".$\0")
    assert split_user_key(key) == (user, company)


@given(name=names)
def test_escaping_is_undone(name: str):
    assert unescape(escape(name)) == name


@pytest.mark.parametrize("at", [START, START + timedelta(hours=23, minutes=59, seconds=59)])
def test_quarters_of_a_day_are_numbered_from_0_to_95(at: datetime):
    assert quarter_of_day(at) == (0 if at == START else 95)


@given(st.lists(rows() | other_rows(), max_size=20))
def test_a_day_counts_its_rows_by_kind_and_so_do_its_quarters(all_rows: list[Transaction]):
    expected: defaultdict[tuple[date, TransactionKind], KindSum] = defaultdict(KindSum)
    for row in all_rows:
        expected[row.at.date(), row.kind] += KindSum(1, row.tokens)
    for group in ("totals", "quarters"):
        found: defaultdict[tuple[date, TransactionKind], KindSum] = defaultdict(KindSum)
        for part in merged(increments(all_rows)):
            for stored in part.get(group, {}).values():
                for kind, kind_sum in kinds_in(stored):
                    found[part["at"].date(), kind] += kind_sum
        assert found == expected


@given(st.lists(rows(), max_size=20))
def test_the_active_quarters_of_a_day_are_those_with_a_run(all_rows: list[Transaction]):
    expected: defaultdict[tuple[datetime, str], int] = defaultdict(int)
    for row in all_rows:
        if row.kind == "usage":
            key = user_key(row.user_id, row.company.id if row.company else None)
            expected[day_start(row.at), key] |= 1 << quarter_of_day(row.at)
    found: defaultdict[tuple[datetime, str], int] = defaultdict(int)
    for part in merged(increments(all_rows)):
        if part["kind"] == "day_users":
            for key, low, high in zip(part["keys"], part["a0"], part["a1"], strict=True):
                if low or high:
                    found[part["at"], key] |= low | high << 48
    assert found == expected
