"""Compares the rollups of each day with the rows of the day."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from common.mongo.client import Database, Document
from common.mongo.usage import Documents, usage_snapshot
from common.usage_rollup import (
    BIT_FIELDS,
    DAY,
    INCREMENTS,
    ROLLUPS,
    USAGE_KINDS,
    Kind,
    Span,
    day_start,
    quarter_of_day,
)
from usage_ledger.audit.violation import Violation

Sums = dict[str, int]
"""The counters F and K of `common.usage_rollup`, added up; what is zero is left out."""

_KINDS: tuple[Kind, ...] = ("day", "day_users", "quarter_users")


class Days:
    """The sums of the rows of each UTC day, beside what the rollups said before the rows were read.

    With `since`, the start of a quarter of an hour, only what came from then on is compared. Documents of
    a whole day are taken less their day's earlier quarters, so they still have to agree with those.
    """

    def __init__(self, db: Database, since: datetime | None) -> None:
        self._db = db
        self._since = since
        self._before: dict[datetime, dict[str, Sums]] = {}
        self._rows: defaultdict[int, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))

    async def start(self) -> None:
        """Remember what the rollups say now."""
        first = day_start(self._since) if self._since else None
        wanted = {"kind": "day"} | ({"at": {"$gte": first}} if first else {})
        days = {document["at"] async for document in self._db[ROLLUPS].find(wanted, {"at": 1})}
        async for increment in self._db[INCREMENTS].find({}, {"parts.at": 1}):
            days |= {day_start(part["at"]) for part in increment["parts"]}
        for day in days:
            if first is None or day >= first:
                self._before[day] = await self._totals(day)

    def first(self) -> datetime | None:
        """Return the first day that has rollups."""
        return min(self._before, default=None)

    def add(self, row: Document) -> None:
        # By hand, since this is done for every row there is.
        sums, kind = self._rows[row["at"].toordinal()], row["kind"]
        if kind in USAGE_KINDS:
            usage = row["usage"]
            sums["i"] += usage["input_tokens"]
            sums["c"] += usage["cached_tokens"]
            sums["o"] += usage["output_tokens"]
            sums["r"] += usage["reasoning_tokens"]
            sums["n"] += kind == "usage"
            sums["e"] += row["estimated"] - (kind != "usage")
        if kind != "usage":
            sums[f"x_{kind}"] += 1
            sums[f"t_{kind}"] += row["tokens"]

    async def compare(self) -> list[Violation]:
        """Compare all days. A day that moves meanwhile lies between what was said before and after."""
        violations: list[Violation] = []
        rows_by_day = {_day(ordinal): _without_zeros(sums) for ordinal, sums in self._rows.items()}
        for day in sorted(self._before.keys() | rows_by_day.keys()):
            rows = rows_by_day.get(day, {})
            before = self._before.get(day, totals_of({}, None))
            if any(sums != expected for sums, expected in _beside(rows, before)):
                violations += _differences(day, rows, before, await self._totals(day))
        return violations

    async def _totals(self, day: datetime) -> dict[str, Sums]:
        """Add up the documents of one day, read in one snapshot with what is not folded yet."""
        since = max(day, self._since) if self._since else day
        found: Documents = {}
        async with usage_snapshot(self._db) as snapshot:
            for kind in _KINDS:
                within = Span(since if kind == "quarter_users" else day, day + DAY)
                found[kind] = [document async for document in snapshot.documents(kind, within)]
        return totals_of(found, since if since > day else None)


def totals_of(documents: Documents, since: datetime | None) -> dict[str, Sums]:
    """Add up what a day's documents say from `since` on: four times the same, users without other rows."""
    first = quarter_of_day(since) if since else 0
    days, users = documents.get("day", []), documents.get("day_users", [])
    quarters = [(int(number), sums) for day in days for number, sums in day.get("quarters", {}).items()]
    earlier = _sum(sums for number, sums in quarters if number < first)
    earlier_of_users = {field: value for field, value in earlier.items() if "_" not in field}
    return {
        "day": _without_zeros(_sum(sums for number, sums in quarters if number >= first)),
        "day.totals": _less(_sum_of(days, "totals"), earlier),
        "day_users": _less(_sum_of(users, "users"), earlier_of_users),
        "quarter_users": _without_zeros(_sum_of(documents.get("quarter_users", []), "users")),
    }


def _sum_of(documents: Iterable[Document], group: str) -> Sums:
    return _sum(stored for document in documents for stored in document.get(group, {}).values())


def _sum(stored: Iterable[Mapping[str, int]]) -> Sums:
    sums: Sums = {}
    for counters in stored:
        for field, value in counters.items():
            sums[field] = sums.get(field, 0) + value
    for field in BIT_FIELDS:
        sums.pop(field, None)
    return sums


def _less(sums: Sums, earlier: Sums) -> Sums:
    fields = sums.keys() | earlier.keys()
    return _without_zeros({field: sums.get(field, 0) - earlier.get(field, 0) for field in fields})


def _without_zeros(sums: Mapping[str, int]) -> Sums:
    return {field: value for field, value in sums.items() if value}


def _day(ordinal: int) -> datetime:
    return datetime.fromordinal(ordinal).replace(tzinfo=UTC)


def _beside(rows: Sums, totals: Mapping[str, Sums]) -> Iterator[tuple[Sums, Sums]]:
    return ((sums, _expected(name, rows)) for name, sums in totals.items())


def _expected(name: str, rows: Sums) -> Sums:
    if not name.endswith("_users"):
        return rows
    return {field: value for field, value in rows.items() if "_" not in field}


def _count(sums: Sums) -> int:
    """Count rows; a row of usage is a run."""
    return sum(value for field, value in sums.items() if field == "n" or field.startswith("x_"))


def _differences(
    day: datetime, rows: Sums, before: Mapping[str, Sums], after: Mapping[str, Sums]
) -> Iterator[Violation]:
    for name, sums in after.items():
        expected = _expected(name, rows)
        if sums == expected:
            continue
        has_moved = sums != before[name]
        if has_moved and _count(before[name]) <= _count(expected) <= _count(sums):
            continue
        what = f"{name} has {_said(sums)}, the rows have {_said(expected)}"
        yield Violation(code="I12", what=what, ids={"day": f"{day:%Y-%m-%d}"})


def _said(sums: Sums) -> str:
    tokens = sums.get("i", 0) + sums.get("o", 0)
    return f"{sums.get('n', 0)} runs with {tokens} tokens and {_count(sums) - sums.get('n', 0)} other rows"
