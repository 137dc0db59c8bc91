"""Which rows of the ledger. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from common.events.ledger import TransactionKind
from common.usage_rollup import Document, OwnerKind, Span

KINDS: tuple[TransactionKind, ...] = get_args(TransactionKind)
ALL_TIME = Span(datetime(2000, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFilter:
    """The rollups know of every filter how many rows it finds, and when."""

    user_id: str | None = None
    company_id: str | None = None
    kind: TransactionKind | None = None
    span: Span = ALL_TIME

    @property
    def kinds(self) -> tuple[TransactionKind, ...]:
        return KINDS if self.kind is None else (self.kind,)

    @property
    def owner(self) -> tuple[OwnerKind, str] | None:
        """Name the months that count the rows: of a user, under each of their companies, or of a company."""
        if self.user_id is not None:
            return "user_month", self.user_id
        return None if self.company_id is None else ("company_month", self.company_id)

    @property
    def whose(self) -> Document:
        whose = {"user_id": self.user_id, "company.id": self.company_id}
        return {name: value for name, value in whose.items() if value is not None}

    @property
    def hint(self) -> list[tuple[str, int]] | None:
        """Name the index for a user in a company: the rows of a user are fewer than those of a company.

        Of two indexes that may do, not every database takes one.
        """
        if self.user_id is None or self.company_id is None:
            return None
        return [("user_id", 1), ("at", 1), ("_id", 1)]

    def query(self, at: Any) -> Document:
        """Write the condition for some time.

        It has values for the first fields of one of the ledger's indexes, and then the time, so that the
        index serves it and the order of the list, and no row is read that is not shown.
        """
        if self.kind is None:
            return {**self.whose, "at": at}
        return {**self.whose, "kind": self.kind, "at": at}


def within(span: Span) -> dict[str, datetime]:
    return {"$gte": span.start, "$lt": span.end}
