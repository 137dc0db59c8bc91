"""Reads rolled up usage together with what is not folded yet, so that a reader is exact at any moment."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pymongo.read_concern import ReadConcern

from common.mongo.client import Database, Document, Session
from common.usage_rollup import (
    INCREMENTS,
    ROLLUPS,
    TRANSACTIONS,
    USAGE_KINDS,
    Kind,
    Span,
    parts_within,
)
from common.usage_sums import UsageSums

Hint = list[tuple[str, int]] | None
"""The keys of the index to read by; None leaves it to the database."""

_BATCH = 100
"""Documents decoded at once: small, so that whoever reads a year does not hold up others."""

T = TypeVar("T")


class UsageSnapshot:
    """All reads see the same moment: rows, rollups, and what is not folded into them."""

    def __init__(self, db: Database, session: Session, parts: list[Document]) -> None:
        self.db = db
        self.session = session
        self._parts = parts

    async def documents(
        self, kind: Kind, within: Span | None, *, owner: str | None = None, fields: tuple[str, ...] = ()
    ) -> AsyncIterator[Document]:
        """Yield the documents of a kind, of all time without `within`; the same id may come several times.

        With `owner`, only whose months they are. `fields` are read beside `at` and `kind`; all, if none is
        named.
        """
        wanted: Document = {"kind": kind} | ({"at": _between(within)} if within else {})
        if owner is not None:
            wanted["owner"] = owner
        shown = dict.fromkeys(("at", "kind", *fields), 1) if fields else None
        found = self.db[ROLLUPS].find(wanted, shown, session=self.session).batch_size(_BATCH)
        while some := await found.to_list(_BATCH):
            for document in some:
                yield document
        for part in parts_within(self._parts, kind, within) if within else self._parts:
            if part["kind"] == kind and (owner is None or part["owner"] == owner):
                yield part

    async def rows(
        self, within: Span, whose: Document | None = None, *, hint: Hint = None
    ) -> AsyncIterator[Document]:
        """Yield the rows of a short time, of all kinds: by time alone, or by `whose` they are as well."""
        wanted = {**(whose or {}), "at": _between(within)}
        async for row in self.db[TRANSACTIONS].find(wanted, hint=hint, session=self.session):
            yield row

    async def sums(self, sums: UsageSums[T]) -> UsageSums[T]:
        """Feed sums with all that their span needs, and return them."""
        for kind, within, fields in sums.needed():
            async for document in self.documents(kind, within, fields=fields):
                sums.add(document)
        for edge in sums.cover.edges:
            async for row in self.rows(edge):
                if row["kind"] in USAGE_KINDS:
                    sums.add_row(row)
        return sums


@asynccontextmanager
async def usage_snapshot(db: Database) -> AsyncGenerator[UsageSnapshot]:
    """Open a moment to read. It may stay open for a minute at most (MongoDB's limit for transactions)."""
    async with (
        await db.client.start_session() as session,
        session.start_transaction(read_concern=ReadConcern("snapshot")),
    ):
        increments = db[INCREMENTS].find({}, {"parts": 1}, session=session)
        parts = [part async for increment in increments for part in increment["parts"]]
        yield UsageSnapshot(db, session, parts)


def _between(span: Span) -> dict[str, Any]:
    return {"$gte": span.start, "$lt": span.end}
