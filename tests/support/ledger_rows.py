"""Strategies for rows of the ledger, and the rollups that the ledger makes of them, in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

from hypothesis import strategies as st

from common.events.envelope import Company
from common.events.ledger import TransactionKind
from common.usage_rollup import TOKEN_FIGURES, Document, parts_within
from common.usage_sums import UsageSums
from gateway.dashboard.ranges import NOT_ZONES
from usage_ledger.domain.rollup import increments, merged
from usage_ledger.domain.transaction import Transaction
from usage_ledger.store.documents import row_document

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "America/New_York",
)
"""Offsets of whole, half and quarter hours; clocks that change by an hour and by half an hour."""

ALL_ZONES = sorted(available_timezones() - NOT_ZONES)
"""Those of the IANA's, without what a machine may mean by "local"."""

FIRST = datetime(2026, 3, 26, tzinfo=UTC)
LAST = datetime(2026, 4, 8, tzinfo=UTC)
"""In this time the clocks change in Europe, Lord Howe and Chatham."""

_COMPANIES = (
    None,
    Company(id="a.b$c", name="A"),
    Company(id="acme", name="Acme"),
    Company(id="c~3", name="C"),
)
_OTHERS: tuple[TransactionKind, ...] = ("opening", "grant", "adjustment", "quota")

moments = st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)


@st.composite
def rows(draw: st.DrawFn) -> Transaction:
    """A row of any kind; its id is not yet its own, see `histories`."""
    kind: TransactionKind = draw(st.sampled_from(("usage", "usage", "usage", "correction", *_OTHERS)))
    row = Transaction(
        id="",
        user_id=draw(st.sampled_from(("u1", "u2", "u.3", "u~4", "u5"))),
        company=draw(st.sampled_from(_COMPANIES)),
        kind=kind,
        tokens=draw(st.integers(-50, 50)),
        balance_before=0,
        balance_after=0,
        sequence=1,
        actor="a",
        reason="r",
        at=draw(moments),
    )
    if kind in _OTHERS:
        return row
    figure = st.integers(-50, 50) if kind == "correction" else st.integers(0, 1_000)
    usage = {name: draw(figure) for name in TOKEN_FIGURES}
    details = {
        "usage": usage,
        "estimated": draw(st.booleans()),
        "model": draw(st.sampled_from(("big", "small"))),
    }
    return replace(row, tokens=-usage["input_tokens"] - usage["output_tokens"], details=details)


def histories(max_size: int = 40) -> st.SearchStrategy[list[Transaction]]:
    """Rows with ids of their own."""
    many = st.lists(rows(), max_size=max_size)
    return many.map(lambda found: [replace(row, id=f"row:{n:03}") for n, row in enumerate(found)])


def documents(found: Sequence[Transaction]) -> list[Document]:
    """The rows as they are stored, newest first."""
    stored = [row_document(row) for row in found]
    return sorted(stored, key=lambda row: (row["at"], row["_id"]), reverse=True)


def rollups(found: Sequence[Transaction], *, folded: int) -> list[Document]:
    """The rollups of the first rows, and what the others add, not folded yet."""
    return [*merged(increments(found[:folded])), *increments(found[folded:])]


def read_for(sums: UsageSums[Any], stored: Sequence[Document]) -> Iterator[Document]:
    """What `common.mongo.usage` reads, from documents in memory: no more than the fields that are named."""
    for kind, within, fields in sums.needed():
        for part in parts_within(stored, kind, within):
            shown = {"kind", "at", *(fields or part)}
            yield {name: value for name, value in part.items() if name in shown}
