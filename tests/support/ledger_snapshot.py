"""A moment of the ledger in memory, read as the database's is."""

from collections.abc import AsyncIterator

from common.mongo.client import Document
from common.mongo.usage import Hint, UsageSnapshot
from common.usage_rollup import Kind, Span


class SnapshotInMemory(UsageSnapshot):
    """`rows` are documents of `transactions`, `rollups` those of `usage_rollups`, folded or not."""

    def __init__(self, rows: list[Document], rollups: list[Document]) -> None:
        self._rows = rows
        self._rollups = rollups

    async def documents(
        self, kind: Kind, within: Span | None, *, owner: str | None = None, fields: tuple[str, ...] = ()
    ) -> AsyncIterator[Document]:
        for document in self._rollups:
            is_wanted = document["kind"] == kind and (owner is None or document["owner"] == owner)
            if is_wanted and (within is None or within.start <= document["at"] < within.end):
                shown = ("at", "kind", *fields) if fields else document.keys()
                yield {name: document[name] for name in shown if name in document}

    async def rows(
        self, within: Span, whose: Document | None = None, *, hint: Hint = None
    ) -> AsyncIterator[Document]:
        for row in self._rows:
            flat = {"user_id": row["user_id"], "company.id": (row["company"] or {}).get("id")}
            if within.start <= row["at"] < within.end and (whose or {}).items() <= flat.items():
                yield row
