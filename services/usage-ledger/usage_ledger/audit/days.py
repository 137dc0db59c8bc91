"""Compares the rollups of each day with the rows of the day."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from common.mongo.client import Database, Document
from common.mongo.usage import Documents, load_day
from common.usage_rollup import (
    INCREMENTS,
    ROLLUPS,
    Figures,
    Kind,
    day_start,
    quarters_in,
    row_usage,
    users_in,
)
from usage_ledger.audit.violation import Violation

KindTotals = dict[Kind, Figures]


class Days:
    """The sums of the rows of each UTC day, beside what the rollups said before the rows were read."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._before: dict[datetime, KindTotals] = {}
        self._rows: defaultdict[datetime, Figures] = defaultdict(Figures)

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
        day = day_start(row["at"])
        self._rows[day] = self._rows[day] + row_usage(row).figures

    async def compare(self) -> list[Violation]:
        """Compare all days. A day that moves meanwhile lies between what was said before and after."""
        violations: list[Violation] = []
        for day in sorted(self._before.keys() | self._rows.keys()):
            rows = self._rows[day]
            before = self._before.get(day, totals_of({}))
            if any(figures != rows for figures in before.values()):
                after = totals_of(await load_day(self._db, day))
                violations += _differences(day, rows, before, after)
        return violations


def totals_of(documents: Documents) -> KindTotals:
    """Add up each kind of document of a day: all three must tell the same."""
    return {
        "day": sum((f for doc in documents.get("day", ()) for _, f in quarters_in(doc)), Figures()),
        "day_users": _of_users(documents.get("day_users", [])),
        "quarter_users": _of_users(documents.get("quarter_users", [])),
    }


def _of_users(documents: list[Document]) -> Figures:
    return sum((usage.figures for document in documents for usage in users_in(document)), Figures())


def _differences(day: datetime, rows: Figures, before: KindTotals, after: KindTotals) -> Iterator[Violation]:
    for kind, figures in after.items():
        if figures == rows:
            continue
        has_moved = figures != before[kind]
        if has_moved and before[kind].runs <= rows.runs <= figures.runs:
            continue
        what = f"{kind} has {figures.runs} runs and {figures.total_tokens} tokens, "
        what += f"the rows have {rows.runs} and {rows.total_tokens}"
        yield Violation(code="I12", what=what, ids={"day": f"{day:%Y-%m-%d}"})
