"""What all rows of a filter are together: from the rollups where they tell, else from the rows."""

from collections.abc import Mapping
from dataclasses import dataclass

from common.events.ledger import TransactionKind
from common.mongo.client import Document
from common.mongo.usage import UsageSnapshot
from common.usage_rollup import TRANSACTIONS, USAGE_KINDS, Figures, KindSum, Span, row_figures
from gateway.dashboard.row_counts import RowCounts
from gateway.dashboard.row_filter import RowFilter, within

_FIGURES = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


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


async def count_rows(snapshot: UsageSnapshot, span: Span) -> RowCounts:
    """Read how many rows there are when: one small document a day, and the rows of the edges."""
    counts = RowCounts(span)
    if not counts.cover.days.is_empty:
        async for document in snapshot.documents("day", counts.cover.days, fields=("totals",)):
            counts.add_day(document)
    for part in counts.cover.quarters:
        day = Span(part.start.replace(hour=0, minute=0), part.end)
        async for document in snapshot.documents("day", day, fields=("quarters",)):
            counts.add_quarters(document, part)
    for edge in counts.cover.edges:
        async for row in snapshot.rows(edge):
            counts.add_row(row, edge)
    return counts


async def counted_sum(snapshot: UsageSnapshot, wanted: RowFilter, counts: RowCounts) -> RowsSum:
    """Add up what was counted."""
    counted = counts.kinds()
    kinds: dict[TransactionKind, KindSum] = {kind: counted[kind] for kind in wanted.kinds if kind in counted}
    figures = counts.figures()
    if wanted.kind in USAGE_KINDS:
        # The rollups add corrections to the usage that they correct; they are few, and have an index.
        corrections = await grouped_sum(snapshot, RowFilter(kind="correction", span=wanted.span))
        of_corrections = corrections.figures
        figures = of_corrections if wanted.kind == "correction" else figures - of_corrections
    elif wanted.kind is not None:
        figures = Figures()
    return RowsSum(kinds=kinds, figures=figures)


async def grouped_sum(snapshot: UsageSnapshot, wanted: RowFilter) -> RowsSum:
    """Add up the rows themselves, which an index names: those of a user, a company or a rare kind."""
    group: Document = {
        "_id": {"kind": "$kind", "estimated": "$estimated"},
        "rows": {"$sum": 1},
        "tokens": {"$sum": "$tokens"},
        **{name: {"$sum": f"$usage.{name}"} for name in _FIGURES},
    }
    kinds: dict[TransactionKind, KindSum] = {}
    figures = Figures()
    for query in wanted.queries(within(wanted.span)):
        stages = [{"$match": query}, {"$group": group}]
        async for found in snapshot.db[TRANSACTIONS].aggregate(stages, session=snapshot.session):
            kind: TransactionKind = found["_id"]["kind"]
            kinds[kind] = kinds.get(kind, KindSum()) + KindSum(found["rows"], found["tokens"])
            if kind in USAGE_KINDS:
                figures += _figures_of_group(kind, found)
    return RowsSum(kinds=kinds, figures=figures)


def _figures_of_group(kind: TransactionKind, found: Document) -> Figures:
    one = row_figures(kind, dict.fromkeys(_FIGURES, 0), estimated=found["_id"]["estimated"])
    return Figures(
        **{name: found[name] for name in _FIGURES},
        runs=one.runs * found["rows"],
        estimated_runs=one.estimated_runs * found["rows"],
    )
