"""The routes of the ledger's rows."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from common.clock import rfc3339
from common.events.ledger import TransactionKind
from common.usage_rollup import Span
from gateway.context import GatewayServices, services_of
from gateway.dashboard.csv_rows import write_header, write_rows
from gateway.dashboard.cursors import read_cursor, write_cursor
from gateway.dashboard.dashboard import Dashboard
from gateway.dashboard.parameters import (
    CompanyFilter,
    DateText,
    IdFilter,
    PageStart,
    RowCursor,
    ZoneName,
    refuse_operators,
)
from gateway.dashboard.ranges import check_order, malformed, read_bound, read_zone
from gateway.dashboard.row_filter import ALL_TIME, RowFilter
from gateway.dashboard.row_sums import RowsSum
from gateway.dashboard.shapes import Aggregate, KindShape, Tokens, TransactionPage, TransactionShape, Usage
from gateway.dashboard.transactions import AskedPage
from gateway.dashboard.usage_figures import NOBODY, Person, usage_of
from gateway.parameters import PAGE_ROWS, PageLimit
from gateway.policy import OperatorSession

router = APIRouter(tags=["dashboard"], dependencies=[Depends(refuse_operators)])

_ORDER = "at"
_PEOPLE_KEPT = 10_000


async def _filter(
    *,
    user: IdFilter = None,
    company: CompanyFilter = None,
    kind: Annotated[TransactionKind | None, Query()] = None,
    date_from: DateText = None,
    date_to: DateText = None,
    tz: ZoneName = "UTC",
) -> RowFilter:
    zone = read_zone(tz)
    start = read_bound(date_from, zone, name="date_from", is_end=False)
    end = read_bound(date_to, zone, name="date_to", is_end=True)
    if start and end:
        check_order(start, end, zone)
    return RowFilter(
        user_id=user,
        company_id=company,
        kind=kind,
        span=Span(start or ALL_TIME.start, end or ALL_TIME.end),
    )


ChosenRows = Annotated[RowFilter, Depends(_filter)]


@router.get("/dashboard/transactions", response_model_exclude_unset=True)
async def list_transactions(
    _session: OperatorSession,
    services: GatewayServices,
    wanted: ChosenRows,
    limit: PageLimit = PAGE_ROWS,
    start: PageStart = 0,
    cursor: RowCursor = None,
) -> TransactionPage:
    """Rows of the ledger, newest first: by `next_cursor`, which new rows do not shift, or from `start` on.

    `total` and `aggregate` are of all rows that the filter finds, at the same moment as the page.
    """
    if cursor is not None and start:
        raise malformed("start", "not together with a cursor")
    after = read_cursor(cursor, _ORDER, type(services.clock.now()))
    dashboard = services.dashboard
    page = await dashboard.transactions.page(wanted, AskedPage(limit=limit, start=start, after=after))
    people = await dashboard.names.people(row["user_id"] for row in page.rows)
    last = page.rows[-1] if page.has_more else None
    return TransactionPage(
        items=[transaction_shape(row, people) for row in page.rows],
        total=page.sum.rows,
        next_cursor=write_cursor(_ORDER, last["at"], last["_id"]) if last else None,
        aggregate=_aggregate(page.sum),
    )


@router.get("/dashboard/transactions.csv", response_class=StreamingResponse)
async def export_transactions(
    request: Request, _session: OperatorSession, wanted: ChosenRows
) -> StreamingResponse:
    """All rows that the filter finds, newest first, as CSV. Cells cannot be formulas.

    An answer that fails on the way ends without the end of its transfer, which clients report.
    """
    parts = _written(services_of(request).dashboard, wanted)
    # Read before the answer begins, so that a database that is away is an error and not a file.
    first = await anext(parts)
    return StreamingResponse(
        _joined(first, parts),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="transactions.csv"'},
    )


async def _written(dashboard: Dashboard, wanted: RowFilter) -> AsyncIterator[bytes]:
    """Yield the header with the first rows, and then the others; at least the header."""
    begin = write_header()
    people: dict[str, Person] = {}
    async for rows in dashboard.transactions.all_rows(wanted):
        if len(people) > _PEOPLE_KEPT:
            people.clear()
        unknown = {row["user_id"] for row in rows} - people.keys()
        people |= await dashboard.names.people(unknown) if unknown else {}
        yield begin + write_rows(rows, people)
        begin = b""
    if begin:
        yield begin


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


def transaction_shape(row: Mapping[str, Any], people: Mapping[str, Person]) -> TransactionShape:
    """Show a row; what its kind does not have is left out."""
    shown = {name: row[name] for name in ("run_id", "model", "estimated") if name in row}
    if usage := row.get("usage"):
        shown["usage"] = Tokens(**usage, total_tokens=usage["input_tokens"] + usage["output_tokens"])
    return TransactionShape(
        id=row["_id"],
        user_id=row["user_id"],
        user_name=people.get(row["user_id"], NOBODY).name,
        company=row["company"],
        kind=row["kind"],
        tokens=row["tokens"],
        balance_before=row["balance_before"],
        balance_after=row["balance_after"],
        actor=row["actor"],
        reason=row["reason"],
        at=rfc3339(row["at"]),
        **shown,
    )


def _aggregate(found: RowsSum) -> Aggregate:
    return Aggregate(
        rows=found.rows,
        tokens=found.tokens,
        by_kind={kind: KindShape(rows=k.rows, tokens=k.tokens) for kind, k in found.kinds.items() if k.rows},
        usage=Usage(**usage_of(found.figures)),
    )
