"""Rows as CSV: whatever somebody is called, no spreadsheet runs it."""

import csv
import io
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dashboard.csv_rows import COLUMNS, original_text, safe_cell, write_header, write_rows
from gateway.dashboard.usage_figures import Person

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "  =cmd|' /C calc'!A0",
    "\uff1d1+1",
    "'=1+1",
]


def row_of(name: str, **fields: object) -> list[str]:
    row = {
        "_id": "usage:r1",
        "user_id": "u1",
        "company": {"id": "c1", "name": name},
        "kind": "usage",
        "tokens": -12,
        "balance_before": 10,
        "balance_after": -2,
        "run_id": "r1",
        "usage": {"input_tokens": 5, "cached_tokens": 0, "output_tokens": 7, "reasoning_tokens": 1},
        "model": "m",
        "estimated": False,
        "actor": name,
        "reason": name,
        "at": datetime(2026, 11, 22, 10, 0, 0, 5_000, tzinfo=UTC),
        **fields,
    }
    people = {"u1": Person(name=name, email=None, company=None)}
    text = (write_header() + write_rows([row], people)).decode()
    header, cells = list(csv.reader(io.StringIO(text, newline="")))
    assert header == list(COLUMNS)
    return cells


@pytest.mark.parametrize("name", FORMULAS)
def test_no_text_begins_like_a_formula(name: str):
    cells = row_of(name)
    for column in ("user_name", "company_name", "actor", "reason"):
        assert cells[COLUMNS.index(column)].startswith("'")
        assert original_text(cells[COLUMNS.index(column)]) == name


@pytest.mark.parametrize("name", ["Max;=1+1", "Max, +1", "a\t@SUM(A1)", "a|-1", "a\r\n=1", 'a;"=1"', "a;;=1"])
def test_no_part_of_a_text_begins_like_a_formula_wherever_a_spreadsheet_cuts_it(name: str):
    cell = row_of(name)[COLUMNS.index("reason")]
    parts = [part.lstrip(' "') for part in re.split(r"[;,|\t\r\n]", cell)]
    assert not [part for part in parts if part.startswith(("=", "+", "-", "@"))]
    assert original_text(cell) == name


def test_numbers_stay_numbers_also_below_zero():
    cells = dict(zip(COLUMNS, row_of("Ada"), strict=True))
    assert (cells["tokens"], cells["balance_after"], cells["input_tokens"]) == ("-12", "-2", "5")
    assert (cells["at"], cells["estimated"]) == ("2026-11-22T10:00:00.005Z", "false")


def test_what_a_row_does_not_have_is_empty():
    cells = dict(zip(COLUMNS, row_of("Ada", usage=None, company=None, run_id=None), strict=True))
    assert (cells["input_tokens"], cells["company_id"], cells["run_id"]) == ("", "", "")


anything = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)
tricky = st.text(alphabet="'=;, \t\r\n\"a", max_size=12)


@given(name=anything | tricky)
def test_every_text_comes_back_whole(name: str):
    cells = row_of(name)
    assert original_text(cells[COLUMNS.index("reason")]) == name
    assert not safe_cell(name).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
