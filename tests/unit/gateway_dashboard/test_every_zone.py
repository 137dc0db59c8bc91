"""Figures in every zone of the IANA's, on days on which its clock changes, against a plain sum over the rows.

What is expected is told by the local date of each row alone: it knows nothing of rollups, quarters or spans.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from common.events.ledger import TransactionKind
from common.usage_rollup import Document, Span, local_days
from common.usage_sums import UsageSums
from gateway.dashboard.ranges import DAYS_MAX, read_range
from gateway.dashboard.row_filter import RowFilter
from gateway.dashboard.row_sums import count_rows
from gateway.dashboard.shapes import Usage
from gateway.dashboard.usage_figures import Breakdown, totals_of
from support.ledger_rows import ALL_ZONES, documents, histories, rollups
from support.ledger_snapshot import SnapshotInMemory
from usage_ledger.domain.transaction import Transaction


def minutes_of(name: str) -> int:
    """Return how many minutes past the hour it is in a zone when it is a full hour in UTC."""
    return datetime(2026, 1, 1, tzinfo=UTC).astimezone(ZoneInfo(name)).minute


HALF_ZONES = [name for name in ALL_ZONES if minutes_of(name) == 30]
QUARTER_ZONES = [name for name in ALL_ZONES if minutes_of(name) == 45]
YEARS = (date(2024, 1, 1), date(2028, 1, 1))
TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
NAMES = ("total_tokens", *TOKENS, "runs", "estimated_runs")
NOW = datetime(2028, 6, 1, tzinfo=UTC)


@cache
def days_of_interest(name: str) -> list[date]:
    """Days on which the clock of a zone changes, and firsts of months, which all zones have."""
    zone, found = ZoneInfo(name), [date(2026, 3, 1), date(2027, 1, 1)]
    days = [YEARS[0] + timedelta(days=number) for number in range((YEARS[1] - YEARS[0]).days)]
    offsets = [datetime.combine(day, time(), zone).utcoffset() for day in days]
    changes = [day for day, now, then in zip(days, offsets, offsets[1:], strict=False) if now != then]
    return [*changes, *found]


@dataclass(frozen=True, slots=True)
class Asked:
    """A history, the zone in which it is looked at, and whole local days, both included."""

    rows: list[Transaction]
    zone: ZoneInfo
    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def stored(self) -> list[Document]:
        return documents(self.rows)

    def local(self, row: Document) -> date:
        return row["at"].astimezone(self.zone).date()

    def between(self, first: date, last: date) -> list[Document]:
        return [row for row in self.stored if first <= self.local(row) <= last]


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    name = draw(st.sampled_from(ALL_ZONES) | st.sampled_from(HALF_ZONES) | st.sampled_from(QUARTER_ZONES))
    zone, day = ZoneInfo(name), draw(st.sampled_from(days_of_interest(name)))
    first, last = sorted(day + timedelta(days=draw(st.integers(-2, 2))) for _ in range(2))
    if draw(st.integers(0, 9)) == 0:
        # Months and up to a year, with rows at both ends and in between.
        last = first + timedelta(days=draw(st.integers(27, DAYS_MAX - 1)))
    span = read_range(first.isoformat(), last.isoformat(), name, now=NOW).span
    milliseconds = (
        st.integers(-3 * 86_400_000, 3 * 86_400_000) | st.integers(-2, 2) | st.integers(-900_002, 900_002)
    )
    midnights = [datetime.combine(day + timedelta(days=n), time(), zone) for n in range(-3, 4)]
    between = span.start + draw(st.floats(0, 1)) * (span.end - span.start)
    edges = st.sampled_from([span.start, span.end, between, *(at.astimezone(UTC) for at in midnights)])
    rows = [
        replace(row, at=draw(edges) + timedelta(milliseconds=draw(milliseconds)))
        for row in draw(histories(25))
    ]
    return Asked(rows, zone, first, last)


def figures_of(rows: Iterable[Document]) -> dict[str, int]:
    """Add up rows of usage as the glossary says: a correction is no run, and takes its estimate back."""
    found: Counter[str] = Counter(dict.fromkeys(NAMES, 0))
    for row in rows:
        if row["kind"] not in {"usage", "correction"}:
            continue
        for name in TOKENS:
            found[name] += row["usage"][name]
        found["total_tokens"] -= row["tokens"]
        found["runs"] += row["kind"] == "usage"
        found["estimated_runs"] += row["estimated"] - (row["kind"] == "correction")
    return dict(found)


def by(rows: Iterable[Document], key: Callable[[Document], Any]) -> dict[Any, dict[str, int]]:
    """Add up rows of usage by something."""
    groups: defaultdict[Any, list[Document]] = defaultdict(list)
    for row in rows:
        if "usage" in row:
            groups[key(row)].append(row)
    return {name: figures_of(of_group) for name, of_group in groups.items()}


def shown(rows: Iterable[Usage], key: Callable[[Any], Any]) -> dict[Any, dict[str, int]]:
    return {key(row): {name: getattr(row, name) for name in NAMES} for row in rows}


def company_of(row: Document) -> str | None:
    return row["company"]["id"] if row["company"] else None


def without_nothing(figures: dict[Any, dict[str, int]]) -> dict[Any, dict[str, int]]:
    return {key: found for key, found in figures.items() if any(found.values())}


@settings(max_examples=500, deadline=None)
@given(asked=questions(), folded=st.integers(0, 25))
def test_every_breakdown_is_that_of_the_rows_of_the_local_days(asked: Asked, folded: int):
    question = read_range(asked.first.isoformat(), asked.last.isoformat(), asked.zone.key, now=NOW)
    before = question.previous()
    sums: UsageSums[date] = UsageSums(question.span, list(local_days(question.span, asked.zone)))
    earlier: UsageSums[Span] = UsageSums(before, [(before, before)], details=False)
    snapshot = SnapshotInMemory(asked.stored, rollups(asked.rows, folded=folded))
    asyncio.run(snapshot.sums(sums))
    asyncio.run(snapshot.sums(earlier))
    breakdown, rows = Breakdown(sums), asked.between(asked.first, asked.last)

    expected = figures_of(rows)
    assert shown([breakdown.totals()], lambda _: 0) == {0: expected}
    days = shown(breakdown.days(), lambda row: date.fromisoformat(row.day))
    assert list(days) == [asked.first + timedelta(days=n) for n in range(asked.days)]
    assert without_nothing(days) == without_nothing(by(rows, asked.local))
    months = shown(breakdown.months(), lambda row: row.month)
    assert without_nothing(months) == without_nothing(by(rows, lambda row: f"{asked.local(row):%Y-%m}"))
    companies = shown(breakdown.companies({}), lambda row: row.company and row.company.id)
    assert companies == by(rows, company_of)
    assert shown(breakdown.users({}), lambda row: row.user_id) == by(rows, lambda row: row["user_id"])
    assert shown(breakdown.models(), lambda row: row.model) == by(rows, lambda row: row["model"])

    previous = asked.between(asked.first - timedelta(days=asked.days), asked.first - timedelta(days=1))
    assert shown([totals_of(earlier)], lambda _: 0) == {0: figures_of(previous)}
    active = {row["user_id"] for row in previous if row["kind"] == "usage"}
    assert totals_of(earlier).active_users == len(active)


owners = st.fixed_dictionaries(
    {
        "user_id": st.none() | st.sampled_from(("u1", "u2", "u.3", "u~4", "nobody")),
        "company_id": st.none() | st.sampled_from(("a.b$c", "acme", "c~3", "nothing")),
    }
)


@settings(max_examples=500, deadline=None)
@given(asked=questions(), folded=st.integers(0, 25), owner=owners)
def test_the_rows_of_local_days_are_counted_whoever_has_them(
    asked: Asked, folded: int, owner: dict[str, str | None]
):
    """Of a user and of a company by their months; else by days and their quarters."""
    span = read_range(asked.first.isoformat(), asked.last.isoformat(), asked.zone.key, now=NOW).span
    wanted = RowFilter(span=span, **owner)  # pyright: ignore[reportArgumentType]
    snapshot = SnapshotInMemory(asked.stored, rollups(asked.rows, folded=folded))
    counts = asyncio.run(count_rows(snapshot, wanted))
    rows = [
        row
        for row in asked.between(asked.first, asked.last)
        if owner["user_id"] in {None, row["user_id"]} and owner["company_id"] in {None, company_of(row)}
    ]
    expected: defaultdict[TransactionKind, list[int]] = defaultdict(list)
    for row in rows:
        expected[row["kind"]].append(row["tokens"])
    found = {kind: (counted.rows, counted.tokens) for kind, counted in counts.kinds().items()}
    assert found == {kind: (len(tokens), sum(tokens)) for kind, tokens in expected.items()}
    figures = counts.figures()
    assert {name: getattr(figures, name) for name in NAMES} == figures_of(rows)


def test_the_zones_are_those_of_the_world():
    assert len(ALL_ZONES) > 400
    assert {minutes_of(name) for name in ALL_ZONES} == {0, 30, 45}
    assert {"Asia/Kathmandu", "Pacific/Chatham", "Australia/Eucla"} <= set(QUARTER_ZONES)
    assert len(days_of_interest("Europe/Berlin")) == 8 + 2
    assert len(days_of_interest("Asia/Kathmandu")) == 2
