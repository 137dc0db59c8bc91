"""The decoder of server-sent events: the same events from the same bytes, in whatever cuts they come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_worker.engine.sse import EventTooLarge, SseDecoder, SseEvent

LINE = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=12).map(
    str.encode
)
FIELD = st.sampled_from(
    [b"event: ", b"event:", b"data: ", b"data:", b"data:  ", b"id: ", b"retry: ", b": ", b"other: "]
)
STREAM_LINE = st.one_of(st.just(b""), st.builds(bytes.__add__, FIELD, LINE), st.just(b"data"))


USUAL = st.tuples(LINE.map(b"event: ".__add__), LINE.map(b"data: ".__add__), st.just(b""))
BLOCKS = st.lists(st.one_of(USUAL, st.tuples(STREAM_LINE), st.tuples(STREAM_LINE, STREAM_LINE)))
LINES = BLOCKS.map(lambda blocks: [line for block in blocks for line in block])


def decode(*chunks: bytes) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def by_the_standard(lines: list[bytes]) -> list[SseEvent]:
    """Write the standard down a second time, line by line and slowly."""
    events: list[SseEvent] = []
    name, data = b"", list[bytes]()
    for line in lines:
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            name, data = b"", []
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if field == b"event":
                name = value
            elif field == b"data":
                data.append(value)
    return events


@given(LINES, st.data())
def test_any_cut_of_any_stream_gives_what_the_standard_says(lines: list[bytes], data: st.DataObject):
    # A lone CR is left to a test of its own: with an LF right after it the two would be one line end.
    stream = b"".join(line + data.draw(st.sampled_from([b"\n", b"\r\n"])) for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]

    assert decode(*chunks) == by_the_standard(lines)


@given(LINES)
def test_a_lone_cr_ends_a_line_in_any_cut(lines: list[bytes]):
    stream = b"".join(line + b"\r" for line in lines)

    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == by_the_standard(lines)


def test_data_over_several_lines_is_joined():
    assert decode(b"event: x\ndata: a\ndata:\ndata:  b\n\n") == [(b"x", b"a\n\n b")]


def test_comments_and_foreign_fields_are_no_events():
    assert decode(b": keep-alive\n\nid: 1\nretry: 5\n\nnews: x\n\n") == []


def test_an_event_without_its_blank_line_is_no_event():
    assert decode(b"event: x\ndata: a\n") == []


def test_a_crlf_cut_in_half_is_one_line_end():
    assert decode(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [(b"", b"a\nb")]


def test_a_line_that_never_ends_is_an_error():
    decoder = SseDecoder(event_bytes_max=100)
    decoder.feed(b"data: " + b"x" * 90)

    with pytest.raises(EventTooLarge):
        decoder.feed(b"x" * 10)
