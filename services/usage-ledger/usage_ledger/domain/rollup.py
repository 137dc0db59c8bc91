"""From rows to what they add to the rollups."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from common.usage_rollup import (
    COLUMNS,
    FIGURE_FIELDS,
    TOTALS_KEY,
    USAGE_KINDS,
    Document,
    Figures,
    Kind,
    OwnerKind,
    active_bits,
    day_start,
    document_id,
    escape,
    month_start,
    quarter_of_day,
    quarter_start,
    row_counters,
    row_figures,
    shard_of,
    user_columns,
    user_key,
    users_in,
)
from usage_ledger.domain.transaction import Transaction

_GROUPS = ("quarters", "totals", "models", "days")
_HEAD = ("_id", "kind", "at", "owner", "company")


def increments(rows: Iterable[Transaction]) -> list[Document]:
    """Return documents in the shapes of the rollups that hold only what these rows add."""
    parts = _Parts()
    for row in rows:
        _add_row(parts, row)
    return parts.documents()


def _add_row(parts: "_Parts", row: Transaction) -> None:
    of_usage = row.kind in USAGE_KINDS
    figures = _figures_of(row) if of_usage else Figures()
    key = user_key(row.user_id, row.company.id if row.company else None)
    quarter = quarter_of_day(row.at)
    day = parts.document("day", day_start(row.at), key)
    counters = figures.stored() | row_counters(row.kind, row.tokens)
    parts.add(day, "quarters", str(quarter), counters)
    parts.add(day, "totals", TOTALS_KEY, counters)
    _add_months(parts, row, key, counters)
    if not of_usage:
        return
    stored, model = figures.stored(), escape(row.details["model"])
    parts.add(day, "models", model, stored)
    bits = active_bits(1 << quarter) if figures.runs else (0, 0)
    of_users = parts.document("day_users", day_start(row.at), key)
    parts.add_user(of_users, key, (*figures.counters(), *bits))
    of_quarter = parts.document("quarter_users", quarter_start(row.at), key)
    parts.add_user(of_quarter, key, figures.counters())
    parts.add(of_quarter, "models", model, stored)


def _add_months(parts: "_Parts", row: Transaction, key: str, counters: dict[str, int]) -> None:
    month, day = month_start(row.at), str(row.at.astimezone(UTC).day)
    company_id = row.company.id if row.company else None
    of_user = parts.month("user_month", month, key, {"owner": row.user_id, "company": company_id})
    parts.add(of_user, "days", day, counters)
    if company_id is not None:
        of_company = parts.month("company_month", month, escape(company_id), {"owner": company_id})
        parts.add(of_company, "days", day, counters)


def _figures_of(row: Transaction) -> Figures:
    return row_figures(row.kind, row.details["usage"], estimated=row.details["estimated"])


def merged(parts: Iterable[Document]) -> list[Document]:
    """Add documents of the same id up, so that each is written once."""
    sums = _Parts()
    for part in parts:
        target = sums.document_like(part)
        for group in _GROUPS:
            for name, stored in part.get(group, {}).items():
                sums.add(target, group, name, stored)
        if part["kind"] in COLUMNS:
            for key, counters in users_in(part):
                sums.add_user(target, key, counters)
    return sums.documents()


def without_day(parts: Iterable[Document], day: datetime) -> list[Document]:
    """Leave out what documents have of a UTC day, given by its start."""
    kept: list[Document] = []
    for part in parts:
        if "owner" not in part:
            if day_start(part["at"]) != day:
                kept.append(part)
            continue
        days: Document = part.get("days", {})
        if part["at"] == month_start(day):
            days = {number: counters for number, counters in days.items() if number != str(day.day)}
        if days:
            kept.append(part | {"days": days})
    return kept


class _Parts:
    """Documents being added up: maps of counters, and what users have."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._users: dict[str, dict[str, Sequence[int]]] = {}

    def document(self, kind: Kind, at: datetime, key: str) -> Document:
        document_name = document_id(kind, at, shard_of(kind, key))
        return self._documents.setdefault(document_name, {"_id": document_name, "kind": kind, "at": at})

    def month(self, kind: OwnerKind, at: datetime, key: str, whose: dict[str, Any]) -> Document:
        name = document_id(kind, at, key)
        return self._documents.setdefault(name, {"_id": name, "kind": kind, "at": at, **whose})

    def document_like(self, part: Document) -> Document:
        head = {name: part[name] for name in _HEAD if name in part}
        return self._documents.setdefault(part["_id"], head)

    def add(self, document: Document, group: str, name: str, stored: dict[str, int]) -> None:
        counters = document.setdefault(group, {}).setdefault(name, {})
        for field, value in stored.items():
            counters[field] = counters.get(field, 0) + value

    def add_user(self, document: Document, key: str, counters: Sequence[int]) -> None:
        users = self._users.setdefault(document["_id"], {})
        known = users.get(key)
        users[key] = counters if known is None else _joined(known, counters)

    def documents(self) -> list[Document]:
        return [self._written(document) for document in self._documents.values()]

    def _written(self, document: Document) -> Document:
        kind = document["kind"]
        if kind not in COLUMNS:
            return document
        return document | user_columns(kind, self._users.get(document["_id"], {}))


def _joined(known: Sequence[int], more: Sequence[int]) -> list[int]:
    """Add figures up, and join the sets of quarters behind them."""
    figures = len(FIGURE_FIELDS)
    pairs = list(zip(known, more, strict=True))
    return [*(a + b for a, b in pairs[:figures]), *(a | b for a, b in pairs[figures:])]
