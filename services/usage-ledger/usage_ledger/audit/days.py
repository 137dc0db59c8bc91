"""Compares the rollups of each day with the rows of the day."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from common.mongo.client import Database, Document
from common.mongo.usage import Documents, load_day
from common.usage_rollup import (
    BIT_FIELDS,
    INCREMENTS,
    ROLLUPS,
    day_start,
    figures_of_row,
    row_counters,
)
from usage_ledger.audit.violation import Violation

Sums = dict[str, int]
"""The counters F and K of `common.usage_rollup`, added up; what is zero is left out."""


class Days:
    """The sums of the rows of each UTC day, beside what the rollups said before the rows were read."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._before: dict[datetime, dict[str, Sums]] = {}
        self._rows: defaultdict[datetime, Sums] = defaultdict(Sums)

    async def start(self, since: datetime | None) -> None:
        """Remember what the rollups say now, for all days from `since` on."""
        wanted = {"kind": "day"} | ({"at": {"$gte": since}} if since else {})
        days = {document["at"] async for document in self._db[ROLLUPS].find(wanted, {"at": 1})}
        async for increment in self._db[INCREMENTS].find({}, {"parts.at": 1}):
            days |= {day_start(part["at"]) for part in increment["parts"]}
        for day in days:
            if since is None or day >= since:
                self._before[day] = totals_of(await load_day(self._db, day))

    def add(self, row: Document) -> None:
        counters = figures_of_row(row).stored() | row_counters(row["kind"], row["tokens"])
        _add(self._rows[day_start(row["at"])], counters)

    async def compare(self) -> list[Violation]:
        """Compare all days. A day that moves meanwhile lies between what was said before and after."""
        violations: list[Violation] = []
        for day in sorted(self._before.keys() | self._rows.keys()):
            rows = _without_zeros(self._rows[day])
            before = self._before.get(day, totals_of({}))
            if any(sums != expected for sums, expected in _beside(rows, before)):
                after = totals_of(await load_day(self._db, day))
                violations += _differences(day, rows, before, after)
        return violations


def totals_of(documents: Documents) -> dict[str, Sums]:
    """Add up all that a day's documents say: four times the same, users without the rows of other kinds."""
    days = documents.get("day", [])
    return {
        "day": _sum_of(days, "quarters"),
        "day.totals": _sum_of(days, "totals"),
        "day_users": _sum_of(documents.get("day_users", []), "users"),
        "quarter_users": _sum_of(documents.get("quarter_users", []), "users"),
    }


def _sum_of(documents: Iterable[Document], group: str) -> Sums:
    sums: Sums = {}
    for document in documents:
        for stored in document.get(group, {}).values():
            _add(sums, stored)
    return _without_zeros(sums)


def _add(sums: Sums, stored: Mapping[str, int]) -> None:
    for field, value in stored.items():
        if field not in BIT_FIELDS:
            sums[field] = sums.get(field, 0) + value


def _without_zeros(sums: Sums) -> Sums:
    return {field: value for field, value in sums.items() if value}


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
