"""Reads rolled up usage together with what is not folded yet, so that a dashboard is exact at any moment."""

from datetime import datetime

from pymongo.read_concern import ReadConcern

from common.mongo.client import Database, Document, Session
from common.usage_rollup import (
    DAY,
    INCREMENTS,
    ROLLUPS,
    TRANSACTIONS,
    Kind,
    Loaded,
    Span,
    cover,
    day_start,
    parts_within,
    round_up,
)

Documents = dict[Kind, list[Document]]


async def load(db: Database, span: Span) -> Loaded:
    """Read what a span needs, in one snapshot: rollups, what is not folded yet, and the rows of its edges."""
    whole = cover(span)
    days = Span(day_start(span.start), round_up(span.end, day_start(span.end), DAY))
    wanted: list[tuple[Kind, Span]] = [("day", days), ("day_users", days)]
    wanted.extend(("quarter_users", quarters) for quarters in whole.quarters)
    async with (
        await db.client.start_session() as session,
        session.start_transaction(read_concern=ReadConcern("snapshot")),
    ):
        found = await _read(db, session, wanted)
        rows: list[Document] = []
        for edge in whole.edges:
            of_usage = {"at": _between(edge), "kind": {"$in": ["usage", "correction"]}}
            rows += await db[TRANSACTIONS].find(of_usage, session=session).to_list(None)
    return Loaded(
        span=span,
        cover=whole,
        days=found["day"],
        day_users=found["day_users"],
        quarter_users=found["quarter_users"],
        edge_rows=rows,
    )


async def load_day(db: Database, day: datetime) -> Documents:
    """Read all documents of one UTC day, in one snapshot, with what is not folded yet."""
    span = Span(day, day + DAY)
    async with (
        await db.client.start_session() as session,
        session.start_transaction(read_concern=ReadConcern("snapshot")),
    ):
        return await _read(db, session, [("day", span), ("day_users", span), ("quarter_users", span)])


async def _read(db: Database, session: Session, wanted: list[tuple[Kind, Span]]) -> Documents:
    found: Documents = {"day": [], "day_users": [], "quarter_users": []}
    for kind, within in wanted:
        stored = db[ROLLUPS].find({"kind": kind, "at": _between(within)}, session=session)
        found[kind] += await stored.to_list(None)
    async for increment in db[INCREMENTS].find(session=session):
        for kind, within in wanted:
            found[kind] += parts_within(increment["parts"], kind, within)
    return found


def _between(span: Span) -> dict[str, datetime]:
    return {"$gte": span.start, "$lt": span.end}
