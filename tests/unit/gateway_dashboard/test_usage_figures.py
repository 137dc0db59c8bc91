"""Whatever the history, the zone and the range: all breakdowns sum to the totals, and those to the rows."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.usage_rollup import (
    DAY,
    Figures,
    Span,
    figures_of_row,
    local_days,
    user_columns,
)
from common.usage_sums import UsageSums
from gateway.dashboard.ranges import Range
from gateway.dashboard.shapes import Usage, UsageOfMany
from gateway.dashboard.usage_figures import Breakdown, Person, averages_of, usage_of
from support.ledger_rows import FIRST, LAST, ZONES, documents, histories, moments, read_for, rollups
from usage_ledger.domain.transaction import Transaction

NAMES = ("total_tokens", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "runs")


def sums_of(found: list[Transaction], span: Span, zone: ZoneInfo, *, folded: int) -> UsageSums[date]:
    """Feed sums with what `common.mongo.usage` reads, from documents in memory."""
    sums: UsageSums[date] = UsageSums(span, list(local_days(span, zone)))
    stored = rollups(found, folded=folded)
    for document in read_for(sums, stored):
        sums.add(document)
    for edge in sums.cover.edges:
        for row in documents(found):
            if edge.start <= row["at"] < edge.end and "usage" in row:
                sums.add_row(row)
    return sums


def summed(rows: Iterable[Usage]) -> dict[str, int]:
    shown = [row.model_dump() for row in rows]
    return {name: sum(row[name] for row in shown) for name in NAMES}


@settings(max_examples=300, deadline=None)
@given(
    found=histories(),
    bounds=st.tuples(moments, moments),
    whole_days=st.booleans(),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    folded=st.integers(0, 40),
    rows_max=st.integers(2, 5),
)
def test_day_month_company_user_and_model_sum_to_the_rows(
    found: list[Transaction],
    bounds: tuple[datetime, datetime],
    whole_days: bool,  # noqa: FBT001
    zone: ZoneInfo,
    folded: int,
    rows_max: int,
):
    start, end = sorted(bounds)
    if whole_days:
        start, end = midnight(start, zone), midnight(end + timedelta(days=1), zone)
    span = Span(start, end)
    breakdown = Breakdown(sums_of(found, span, zone, folded=folded), rows_max=rows_max)
    rows = [row for row in documents(found) if "usage" in row and start <= row["at"] < end]
    figures = sum((figures_of_row(row) for row in rows), Figures())
    expected = {name: value for name, value in usage_of(figures).items() if name in NAMES}

    totals = breakdown.totals()
    assert summed([totals]) == expected
    assert summed(breakdown.days()) == expected
    assert summed(breakdown.months()) == expected
    assert summed(breakdown.companies({})) == expected
    assert summed(breakdown.users({})) == expected
    assert summed(breakdown.models()) == expected
    assert expected["total_tokens"] == -sum(row["tokens"] for row in rows)

    runs = [row for row in rows if row["kind"] == "usage"]
    assert totals.active_users == len({row["user_id"] for row in runs})
    for day in breakdown.days():
        of_day = {r["user_id"] for r in runs if r["at"].astimezone(zone).date().isoformat() == day.day}
        assert day.active_users == len(of_day)
    for month in breakdown.months():
        of_month = {r["user_id"] for r in runs if f"{r['at'].astimezone(zone):%Y-%m}" == month.month}
        assert month.active_users == len(of_month)
    assert len(breakdown.users({})) <= rows_max
    assert len(breakdown.companies({})) <= rows_max


def midnight(at: datetime, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone)
    return datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC)


@settings(max_examples=100, deadline=None)
@given(found=histories(), zone=st.sampled_from(ZONES).map(ZoneInfo), bounds=st.tuples(moments, moments))
def test_a_period_and_the_one_before_it_are_the_two_together(
    found: list[Transaction], zone: ZoneInfo, bounds: tuple[datetime, datetime]
):
    start, end = sorted(bounds)
    asked = Range(span=Span(start, end), zone=zone)
    before = asked.previous()
    both = Span(before.start, end)
    totals = [sums_of(found, span, zone, folded=5).totals() for span in (before, asked.span, both)]
    assert totals[0] + totals[1] == totals[2]


@given(found=histories())
def test_a_user_who_changed_company_is_one_user_and_counts_for_both_companies(found: list[Transaction]):
    breakdown = Breakdown(sums_of(found, Span(FIRST, LAST + DAY), ZoneInfo("UTC"), folded=0))
    rows = [row for row in documents(found) if row["kind"] == "usage"]
    pairs = {(row["user_id"], row["company"]["id"] if row["company"] else None) for row in rows}
    assert sum(company.active_users for company in breakdown.companies({})) == len(pairs)
    users = [user.user_id for user in breakdown.users({}) if user.runs]
    assert sorted(map(str, users)) == sorted({user_id for user_id, _ in pairs})


def test_the_last_row_stands_for_the_rest():
    sums: UsageSums[date] = UsageSums(Span(FIRST, FIRST + DAY), [(FIRST.date(), Span(FIRST, FIRST + DAY))])
    users = {f"u{n}~c{n}": (10 - n, 0, 0, 0, 1, 0, 1, 0) for n in range(10)}
    sums.add({"kind": "day_users", "at": FIRST} | user_columns("day_users", users))
    breakdown = Breakdown(sums, rows_max=4)
    shown = breakdown.users({"u0": Person(name="Ada", email="a@b", company=None)})
    assert [(user.user_id, user.name, user.total_tokens, user.rest) for user in shown] == [
        ("u0", "Ada", 10, 0),
        ("u1", None, 9, 0),
        ("u2", None, 8, 0),
        (None, None, 7 + 6 + 5 + 4 + 3 + 2 + 1, 7),
    ]
    companies = breakdown.companies({"c0": "Zero"})
    assert [(c.company and c.company.name, c.active_users, c.rest) for c in companies] == [
        ("Zero", 1, 0),
        ("c1", 1, 0),
        ("c2", 1, 0),
        (None, 7, 7),
    ]


@pytest.mark.parametrize(
    ("tokens", "runs", "users", "expected"),
    [(100, 3, 2, (33.3, 50.0, 1.5)), (0, 0, 0, (None, None, None)), (5, 1, 1, (5.0, 5.0, 1.0))],
)
def test_averages_are_null_where_there_is_nothing_to_divide_by(tokens: int, runs: int, users: int, expected):
    figures = Figures(input_tokens=tokens, runs=runs)
    averages = averages_of(UsageOfMany(**usage_of(figures), active_users=users))
    assert tuple(averages.model_dump().values()) == expected
