"""The order of events and what a reader lacks, whatever was lost on the way."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from common.run_stream import RunEvent, event_of
from gateway.streaming.cursor import Cursor


def delta(fence: int, sequence: int, text: str, at: int) -> RunEvent:
    return event_of(fence, sequence, "delta", {"text": text, "at": at})


def told(event: RunEvent | None) -> tuple[str, int] | None:
    if event is None:
        return None
    data = orjson.loads(event.data)
    return data["text"], data["at"]


def test_a_repeat_is_not_new() -> None:
    cursor = Cursor()
    cursor.take(delta(1, 1, "a", 0))
    assert not cursor.is_behind(delta(1, 1, "a", 0))
    assert cursor.is_behind(delta(1, 2, "b", 1))


def test_what_a_fenced_off_worker_still_says_is_not_new() -> None:
    cursor = Cursor()
    cursor.take(delta(2, 5, "a", 0))
    assert not cursor.is_behind(delta(1, 6, "stale", 1))


def test_a_worker_that_took_over_may_count_from_below() -> None:
    cursor = Cursor()
    cursor.take(delta(1, 8, "a", 0))
    assert cursor.is_behind(delta(2, 6, "b", 1))
    assert not cursor.is_next(delta(2, 6, "b", 1))


def test_a_gap_is_not_next() -> None:
    cursor = Cursor(after_sequence=3)
    assert cursor.is_next(delta(1, 4, "a", 0))
    assert not cursor.is_next(delta(1, 5, "b", 1))


def test_a_stream_with_the_readers_place_has_all_that_follows() -> None:
    cursor = Cursor(after_sequence=2)
    entries = [delta(1, 2, "b", 1), delta(1, 3, "c", 2), delta(2, 9, "d", 3)]
    assert cursor.new_among(entries) == entries[1:]


def test_a_stream_that_begins_behind_the_readers_place_has_lost_it() -> None:
    assert Cursor(after_sequence=2).new_among([delta(1, 4, "d", 3)]) is None
    assert Cursor(after_sequence=2).new_among([]) is None
    assert Cursor().new_among([delta(1, 4, "d", 3)]) is None


def test_an_empty_stream_has_lost_nothing_for_a_reader_at_the_start() -> None:
    assert Cursor().new_among([]) == []


def test_stored_text_continues_where_the_reader_is() -> None:
    cursor = Cursor()
    cursor.take(delta(1, 1, "wört", 0))
    assert told(cursor.take_stored_text("wörter 🙂 mehr", sequence=7)) == ("er 🙂 mehr", 4)
    assert cursor.sequence == 7


def test_stored_text_starts_anew_for_a_reader_whose_place_in_it_is_unknown() -> None:
    assert told(Cursor(after_sequence=4).take_stored_text("all of it", sequence=7)) == ("all of it", 0)


def test_events_that_overlap_with_stored_text_are_cut() -> None:
    cursor = Cursor()
    cursor.take_stored_text("abcd", sequence=2)
    assert cursor.take(delta(1, 3, "cd", 2)) is None
    assert told(cursor.take(delta(1, 4, "de", 3))) == ("e", 4)
    assert told(cursor.take(delta(1, 5, "f", 5))) == ("f", 5)


@given(chunks=st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=12), data=st.data())
def test_any_mixture_of_events_and_stored_text_makes_the_same_answer(
    chunks: list[str], data: st.DataObject
) -> None:
    answer = "".join(chunks)
    events, at = list[RunEvent](), 0
    for sequence, chunk in enumerate(chunks, start=1):
        events.append(delta(1, sequence, chunk, at))
        at += len(chunk)
    cursor, shown = Cursor(), ""
    for event in events:
        if data.draw(st.booleans(), label="stored"):
            # What is stored runs up to some event at least, maybe further.
            ahead = data.draw(st.integers(0, 6), label="ahead")
            end = orjson.loads(event.data)["at"] + len(orjson.loads(event.data)["text"])
            needed = cursor.take_stored_text(answer[: end + ahead], sequence=event.sequence)
        elif cursor.is_behind(event):
            needed = cursor.take(event)
        else:
            needed = None
        if told(needed) is not None:
            text, at = told(needed) or ("", 0)
            assert at == len(shown)
            shown += text
    assert answer.startswith(shown)
    rest = cursor.take_stored_text(answer, sequence=len(chunks))
    assert shown + (told(rest) or ("", 0))[0] == answer
