"""What all rows of a filter are together: from the rollups, and from the rows of its edges."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from common.events.ledger import TransactionKind
from common.mongo.client import Document
from common.mongo.usage import UsageSnapshot
from common.usage_rollup import (
    TOKEN_FIGURES,
    TRANSACTIONS,
    USAGE_KINDS,
    Figures,
    KindSum,
    Span,
    month_start,
    row_figures,
)
from gateway.dashboard.row_counts import RowCounts
from gateway.dashboard.row_filter import RowFilter, within


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsSum:
    """`figures` are of those rows only."""

    kinds: Mapping[TransactionKind, KindSum]
    figures: Figures

    @property
    def rows(self) -> int:
        return sum(kind.rows for kind in self.kinds.values())

    @property
    def tokens(self) -> int:
        return sum(kind.tokens for kind in self.kinds.values())


async def count_rows(snapshot: UsageSnapshot, wanted: RowFilter) -> RowCounts:
    """Read how many rows there are when, of any kind: from small documents, and the rows of the edges."""
    counts = RowCounts(wanted.span, of_months=wanted.owner is not None)
    if wanted.owner is None:
        await _count_days(snapshot, counts)
    else:
        await _count_months(snapshot, wanted, counts)
    for edge in counts.cover.edges:
        async for row in snapshot.rows(edge, wanted.whose, hint=wanted.hint):
            counts.add_row(row, edge)
    return counts


async def _count_days(snapshot: UsageSnapshot, counts: RowCounts) -> None:
    if not counts.cover.days.is_empty:
        async for document in snapshot.documents("day", counts.cover.days, fields=("totals",)):
            counts.add_day(document)
    for part in counts.cover.quarters:
        day = Span(part.start.replace(hour=0, minute=0), part.end)
        async for document in snapshot.documents("day", day, fields=("quarters",)):
            counts.add_quarters(document, part)


async def _count_months(snapshot: UsageSnapshot, wanted: RowFilter, counts: RowCounts) -> None:
    days = counts.cover.days
    if wanted.owner is None or days.is_empty:
        return
    kind, owner = wanted.owner
    months = Span(month_start(days.start), days.end)
    async for document in snapshot.documents(kind, months, owner=owner):
        if wanted.company_id in {None, document.get("company", wanted.company_id)}:
            counts.add_month(document)


async def counted_sum(snapshot: UsageSnapshot, wanted: RowFilter, counts: RowCounts) -> RowsSum:
    """Add up what was counted."""
    counted = counts.kinds()
    kinds: dict[TransactionKind, KindSum] = {kind: counted[kind] for kind in wanted.kinds if kind in counted}
    figures = counts.figures()
    if wanted.kind in USAGE_KINDS:
        # The rollups add corrections to the usage that they correct; they are few, and have an index.
        corrections = await grouped_sum(snapshot, replace(wanted, kind="correction"))
        of_corrections = corrections.figures
        figures = of_corrections if wanted.kind == "correction" else figures - of_corrections
    elif wanted.kind is not None:
        figures = Figures()
    return RowsSum(kinds=kinds, figures=figures)


async def grouped_sum(snapshot: UsageSnapshot, wanted: RowFilter) -> RowsSum:
    """Add up the rows themselves, which an index names: those of a rare kind."""
    group: Document = {
        "_id": {"kind": "$kind", "estimated": "$estimated"},
        "rows": {"$sum": 1},
        "tokens": {"$sum": "$tokens"},
        **{name: {"$sum": f"$usage.{name}"} for name in TOKEN_FIGURES},
    }
    kinds: dict[TransactionKind, KindSum] = {}
    figures = Figures()
    stages = [{"$match": wanted.query(within(wanted.span))}, {"$group": group}]
    hint = {"hint": dict(wanted.hint)} if wanted.hint else {}
    async for found in snapshot.db[TRANSACTIONS].aggregate(stages, session=snapshot.session, **hint):
        kind: TransactionKind = found["_id"]["kind"]
        kinds[kind] = kinds.get(kind, KindSum()) + KindSum(found["rows"], found["tokens"])
        if kind in USAGE_KINDS:
            figures += _figures_of_group(kind, found)
    return RowsSum(kinds=kinds, figures=figures)


def _figures_of_group(kind: TransactionKind, found: Document) -> Figures:
    one = row_figures(kind, dict.fromkeys(TOKEN_FIGURES, 0), estimated=found["_id"]["estimated"])
    return Figures(
        **{name: found[name] for name in TOKEN_FIGURES},
        runs=one.runs * found["rows"],
        estimated_runs=one.estimated_runs * found["rows"],
    )
