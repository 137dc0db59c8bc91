from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Malformed
from gateway.cursors import read_cursor, write_cursor
from gateway.threads.records import TITLE_CHARACTERS_MAX, title_of

ROW_ID = "t_" + "0a" * 16


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("  two\n\n lines\t", "two lines"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("word " * 20, "word " * 10 + "word…"),
        ("a " + "x" * 100, "a " + "x" * 57 + "…"),
    ],
)
def test_a_title_is_the_beginning_of_the_first_message(text: str, title: str):
    assert title_of(text) == title


@given(st.text())
def test_a_title_is_one_short_line(text: str):
    title = title_of(text)
    assert len(title) <= TITLE_CHARACTERS_MAX
    assert len(title.splitlines()) <= 1


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_a_cursor_leads_back_to_its_place(at: datetime):
    at = at.replace(microsecond=at.microsecond // 1000 * 1000, tzinfo=UTC)
    assert read_cursor(write_cursor(at, ROW_ID)) == (at, ROW_ID)


@given(st.text(max_size=200))
def test_a_cursor_that_we_did_not_make_is_malformed_and_never_a_failure(cursor: str):
    with suppress(Malformed):
        read_cursor(cursor)
