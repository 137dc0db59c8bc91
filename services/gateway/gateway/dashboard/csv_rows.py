"""Rows as CSV (RFC 4180), safe to open in a spreadsheet. Pure.

A text that begins like a formula gets an apostrophe in front: names and reasons are what somebody wrote, and
a spreadsheet would run them. So does one within a text that follows a character by which spreadsheets of some
countries cut a line into cells (`Max;=1+1`). `original_text` takes the apostrophes off again. Numbers are
numbers, also below zero.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.clock import rfc3339
from common.usage_rollup import TOKEN_FIGURES
from gateway.dashboard.usage_figures import NOBODY, Person

COLUMNS = (
    "at",
    "id",
    "user_id",
    "user_name",
    "company_id",
    "company_name",
    "kind",
    "tokens",
    "balance_before",
    "balance_after",
    "run_id",
    "model",
    *TOKEN_FIGURES,
    "estimated",
    "actor",
    "reason",
)

_FORMULA = "=+@'\uff1d\uff0b\uff0d\uff20-"
_SEPARATORS = ";,|\t\r\n"
_BEGINNING = re.compile(rf"(?:^(?=[\t\r\n])|(?:^|(?<=[{_SEPARATORS}]))(?=[ \"]*[{_FORMULA}]))")
_OURS = re.compile(rf"(?:^|(?<=[{_SEPARATORS}]))'")

Cell = str | int | bool | None


def write_header() -> bytes:
    return _written([COLUMNS])


def write_rows(rows: Iterable[Mapping[str, Any]], people: Mapping[str, Person]) -> bytes:
    """Write documents of `transactions`."""
    return _written(_cells(row, people.get(row["user_id"], NOBODY)) for row in rows)


def safe_cell(cell: Cell) -> str:
    """Write a cell such that no spreadsheet takes it for a formula."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int):
        return str(cell)
    return _BEGINNING.sub("'", cell)


def original_text(cell: str) -> str:
    """Return the text that became a cell. A text's own apostrophes in those places had got another one."""
    return _OURS.sub("", cell)


def _cells(row: Mapping[str, Any], person: Person) -> list[str]:
    company: Mapping[str, str] = row["company"] or {}
    usage: Mapping[str, int] = row.get("usage") or {}
    cells: Sequence[Cell] = (
        rfc3339(row["at"]),
        row["_id"],
        row["user_id"],
        person.name,
        company.get("id"),
        company.get("name"),
        row["kind"],
        row["tokens"],
        row["balance_before"],
        row["balance_after"],
        row.get("run_id"),
        row.get("model"),
        *(usage.get(name) for name in TOKEN_FIGURES),
        row.get("estimated"),
        row["actor"],
        row["reason"],
    )
    return [safe_cell(cell) for cell in cells]


def _written(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
