"""Nothing that a model or a user writes can forge a line of the event stream."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Malformed
from common.run_stream import event_of
from gateway.streaming.sse import event_bytes, opening_bytes, parse_event_id

RUN_ID = "r_" + "0" * 32
LINE_ENDS = re.compile("\r\n|\n|\r")


def lines_of(text: str) -> list[str]:
    written = event_bytes(RUN_ID.encode(), event_of(1, 7, "delta", {"text": text, "at": 0})).decode()
    return LINE_ENDS.split(written)


@pytest.mark.parametrize(
    "text",
    [
        "a\nevent: done\ndata: {}\n\n",
        "a\r\nid: r_0:99\r\n\r\n",
        "a\rdata: forged\r",
        "a\u2028event: done\u2029",
        "\x0b\x0c\x1c\x1d\x1e\x85event: done",
        "\x00",
        "data: x",
    ],
)
def test_text_cannot_end_its_line(text: str) -> None:
    assert [line.split(":")[0] for line in lines_of(text)] == ["id", "event", "data", "", ""]


@given(text=st.text())
def test_no_text_at_all_makes_a_line(text: str) -> None:
    assert len(lines_of(text)) == 5


def test_an_event_has_id_name_and_data() -> None:
    assert lines_of("Hi") == [f"id: {RUN_ID}:7", "event: delta", 'data: {"text":"Hi","at":0}', "", ""]


def test_the_opening_names_the_run_without_being_an_event() -> None:
    lines = opening_bytes(RUN_ID.encode(), 0).decode().split("\n")
    assert f"id: {RUN_ID}:0" in lines
    assert not any(line.startswith("data") for line in lines)


def test_an_event_id_is_split_into_run_and_sequence() -> None:
    assert parse_event_id(f"{RUN_ID}:12") == (RUN_ID, 12)


@pytest.mark.parametrize(
    "value", ["", "12", RUN_ID, f"{RUN_ID}:", f"{RUN_ID}:-1", f"{RUN_ID}:1\n", f"x{RUN_ID}:1", f"{RUN_ID}:٣"]
)
def test_what_is_no_event_id_is_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        parse_event_id(value)
