"""Cursors: what a list hands out leads on, anything else is refused by its name."""

import base64
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Malformed
from gateway.dashboard.cursors import read_cursor, write_cursor

AT = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)


@pytest.mark.parametrize(("value", "kind"), [(AT, datetime), (-5, int), ("zoë", str), ("", str)])
def test_a_cursor_leads_back_to_its_place(value, kind):
    assert read_cursor(write_cursor("x", value, "open:u/1~ü"), "x", kind) == (value, "open:u/1~ü")


def test_no_cursor_is_the_beginning():
    assert read_cursor(None, "x", datetime) is None


def forged(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "?",
        "AAAA",
        forged(["y", 5, "a"]),
        forged(["x", 5]),
        forged(["x", "2026", "a"]),
        forged(["x", 10**18, "a"]),
        forged(["x", -1, "a"]),
        forged(["x", 946_684_799_999, "a"]),
        forged(["x", True, "a"]),
        forged(["x", {"$gt": 1}, "a"]),
        forged(["x", 5, {"$gt": ""}]),
        forged({"x": 1}),
    ],
)
def test_what_is_not_a_cursor_of_this_list_is_refused(cursor: str):
    with pytest.raises(Malformed) as refused:
        read_cursor(cursor, "x", datetime)
    assert refused.value.extra["parameters"][0]["name"] == "cursor"


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, True, "5"])
def test_a_number_that_the_database_cannot_hold_is_refused(value: object):
    with pytest.raises(Malformed):
        read_cursor(forged(["x", value, "a"]), "x", int)


@given(text=st.text(max_size=60))
def test_no_text_is_an_internal_error(text: str):
    with pytest.raises(Malformed):
        read_cursor(text + "!", "x", int)
