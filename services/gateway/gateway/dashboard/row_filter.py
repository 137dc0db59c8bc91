"""Which rows of the ledger. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from common.events.ledger import TransactionKind
from common.usage_rollup import Document, Span

KINDS: tuple[TransactionKind, ...] = get_args(TransactionKind)
ALL_TIME = Span(datetime(2000, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFilter:
    """Without a user and a company, the rollups know how many rows there are, and when."""

    user_id: str | None = None
    company_id: str | None = None
    kind: TransactionKind | None = None
    span: Span = ALL_TIME

    @property
    def kinds(self) -> tuple[TransactionKind, ...]:
        return KINDS if self.kind is None else (self.kind,)

    @property
    def is_counted(self) -> bool:
        return self.user_id is None and self.company_id is None

    def queries(self, at: Any) -> list[Document]:
        """Write the conditions whose rows, taken together, are wanted.

        Each has equalities for the first fields of one of the ledger's indexes, and then the time, so that
        the index serves it and the order of the list, and no row is read that is not shown.
        """
        query: Document = {}
        if self.user_id is not None:
            query["user_id"] = self.user_id
        if self.company_id is not None:
            query["company.id"] = self.company_id
        if self.kind is None and self.is_counted:
            return [{"at": at}]
        return [{**query, "kind": kind, "at": at} for kind in self.kinds]


def within(span: Span) -> dict[str, datetime]:
    return {"$gte": span.start, "$lt": span.end}
