"""Makes the rollups of days anew from the rows of the ledger, also while it runs.

A UTC day is one database transaction, which sees its rows, its rollups and what is not folded into them at
one moment. What is as the rows have it is not written, so days that are right stand in nobody's way. Ended
at any moment, it may be started again.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import DeleteOne, ReplaceOne, UpdateOne

from common.mongo.client import Database, Document, Session
from common.usage_rollup import (
    DAY,
    INCREMENTS,
    KINDS_OF_DAYS,
    KINDS_OF_MONTHS,
    ROLLUPS,
    TRANSACTIONS,
    day_start,
    month_start,
)
from usage_ledger.domain.rollup import increments, merged, without_day
from usage_ledger.store.conflicts import translated, until_current
from usage_ledger.store.documents import row_of
from usage_ledger.store.writer import Writer

_ROWS_MAX = 10_000
"""Rows in memory at once."""

_HEAD = ("kind", "at", "owner", "company")

_Write = DeleteOne | ReplaceOne[Document] | UpdateOne


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """`written` are the documents that were not as the rows have them."""

    day: datetime
    rows: int
    written: int


class Rebuild:
    def __init__(self, db: Database, writer: Writer) -> None:
        self._db = db
        self._writer = writer

    async def run(self, *, first: datetime | None, last: datetime | None) -> AsyncIterator[Rebuilt]:
        """Make one day after the other anew, all that there are or from `first` to `last`, by their starts.

        Raises Unavailable.
        """
        bounds = await self._bounds()
        if bounds is None:
            return
        day = max(first, bounds[0]) if first else bounds[0]
        end = min(last, bounds[1]) if last else bounds[1]
        while day <= end:
            yield await until_current(lambda day=day: self._day(day))
            day += DAY

    async def _bounds(self) -> tuple[datetime, datetime] | None:
        """Return the first and the last day that has rows or rollups."""
        places = [(TRANSACTIONS, Document()), *((ROLLUPS, {"kind": kind}) for kind in KINDS_OF_DAYS)]
        found: list[datetime] = []
        with translated():
            for collection, wanted in places:
                for direction in (1, -1):
                    first = await self._db[collection].find_one(wanted, {"at": 1}, sort=[("at", direction)])
                    found += [first["at"]] if first else []
        return (day_start(min(found)), day_start(max(found))) if found else None

    async def _day(self, day: datetime) -> Rebuilt:
        async with self._writer.transaction() as session:
            rows, parts = await self._from_rows(day, session)
            of_day = {part["_id"]: part for part in parts if part["kind"] in KINDS_OF_DAYS}
            of_months = {part["_id"]: part for part in parts if part["kind"] in KINDS_OF_MONTHS}
            writes = [
                *_days_written(of_day, await self._stored_days(day, session)),
                *_months_written(of_months, await self._stored_months(day, session), _field_of(day)),
            ]
            if writes:
                await self._db[ROLLUPS].bulk_write(writes, session=session)
            await self._take_out(day, session)
        return Rebuilt(day=day, rows=rows, written=len(writes))

    async def _from_rows(self, day: datetime, session: Session) -> tuple[int, list[Document]]:
        """Count the rows of a day, and say what its documents must be."""
        rows, parts = 0, list[Document]()
        within = {"at": {"$gte": day, "$lt": day + DAY}}
        found = self._db[TRANSACTIONS].find(within, session=session).batch_size(_ROWS_MAX)
        while some := await found.to_list(_ROWS_MAX):
            rows += len(some)
            parts = merged([*parts, *increments(map(row_of, some))])
        return rows, parts

    async def _stored_days(self, day: datetime, session: Session) -> dict[str, Document]:
        wanted = {"kind": {"$in": KINDS_OF_DAYS}, "at": {"$gte": day, "$lt": day + DAY}}
        found = await self._db[ROLLUPS].find(wanted, session=session).to_list(None)
        return {document["_id"]: document for document in found}

    async def _stored_months(self, day: datetime, session: Session) -> dict[str, Document]:
        """Read the months that have the day, and no other day of them."""
        field = _field_of(day)
        wanted = {"kind": {"$in": KINDS_OF_MONTHS}, "at": month_start(day), field: {"$exists": True}}
        shown = dict.fromkeys((*_HEAD, field), 1)
        found = await self._db[ROLLUPS].find(wanted, shown, session=session).to_list(None)
        return {document["_id"]: document for document in found}

    async def _take_out(self, day: datetime, session: Session) -> None:
        """Take what is not folded yet out of the increments: the rows that it comes from are in already."""
        writes: list[DeleteOne | UpdateOne] = []
        async for increment in self._db[INCREMENTS].find(session=session):
            parts = without_day(increment["parts"], day)
            if not parts:
                writes.append(DeleteOne({"_id": increment["_id"]}))
            elif parts != increment["parts"]:
                writes.append(UpdateOne({"_id": increment["_id"]}, {"$set": {"parts": parts}}))
        if writes:
            await self._db[INCREMENTS].bulk_write(writes, session=session)


def _field_of(day: datetime) -> str:
    return f"days.{day.day}"


def _days_written(expected: Mapping[str, Document], stored: Mapping[str, Document]) -> Iterator[_Write]:
    for name in expected.keys() | stored.keys():
        if name not in expected:
            yield DeleteOne({"_id": name})
        elif expected[name] != stored.get(name):
            yield ReplaceOne({"_id": name}, expected[name], upsert=True)


def _months_written(
    expected: Mapping[str, Document], stored: Mapping[str, Document], field: str
) -> Iterator[_Write]:
    for name in expected.keys() | stored.keys():
        if name not in expected:
            yield UpdateOne({"_id": name}, {"$unset": {field: ""}})
        elif expected[name] != stored.get(name):
            month = expected[name]
            (counters,) = month["days"].values()
            fields: dict[str, Any] = {head: month[head] for head in _HEAD if head in month}
            yield UpdateOne({"_id": name}, {"$set": fields | {field: counters}}, upsert=True)
