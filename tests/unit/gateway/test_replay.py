"""A run that is only stored any more, for readers that have seen none, some or all of it."""

from dataclasses import replace
from typing import Any

import orjson

from common.run_stream import RunEvent, event_of
from gateway.streaming.cursor import Cursor
from gateway.streaming.replay import missing_events, never_started
from gateway.streaming.stored_runs import StoredRun

RUN = StoredRun(
    id="r_1",
    thread_id="t_1",
    message_id="m_1",
    state="completed",
    text="Because.",
    last_sequence=9,
    usage={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    usage_source="provider",
    error=None,
    files=[{"id": "f_1", "name": "plan.csv", "media_type": "text/csv", "size_bytes": 3}],
    annotations=[],
)


def kinds(events: list[RunEvent]) -> list[str]:
    return [event.kind for event in events]


def data_of(events: list[RunEvent], kind: str) -> dict[str, Any]:
    return next(orjson.loads(event.data) for event in events if event.kind == kind)


def test_a_new_reader_gets_the_whole_run() -> None:
    events = missing_events(RUN, Cursor())
    assert kinds(events) == ["run", "delta", "file", "usage", "done"]
    assert data_of(events, "run") == {"run_id": "r_1", "thread_id": "t_1", "message_id": "m_1"}
    assert data_of(events, "delta") == {"text": "Because.", "at": 0}
    assert data_of(events, "file") == {"id": "f_1", "name": "plan.csv"}
    assert data_of(events, "usage")["estimated"] is False
    assert data_of(events, "done") == {"status": "completed"}


def test_only_done_carries_the_last_sequence() -> None:
    events = missing_events(RUN, Cursor())
    assert [event.sequence for event in events if event.sequence == RUN.last_sequence] == [9]
    assert events[-1].sequence == 9


def test_a_reader_that_has_seen_done_lacks_nothing_else() -> None:
    assert kinds(missing_events(RUN, Cursor(after_sequence=9))) == ["done"]


def test_a_reader_in_the_middle_gets_the_text_from_the_start_to_replace_its_own() -> None:
    events = missing_events(RUN, Cursor(after_sequence=4))
    assert kinds(events) == ["delta", "file", "usage", "done"]
    assert data_of(events, "delta") == {"text": "Because.", "at": 0}


def test_a_reader_whose_place_is_known_gets_the_rest_only() -> None:
    cursor = Cursor()
    cursor.take(event_of(1, 1, "run", {}))
    cursor.take(event_of(1, 2, "delta", {"text": "Beca", "at": 0}))
    assert data_of(missing_events(RUN, cursor), "delta") == {"text": "use.", "at": 4}


def test_an_active_run_gives_its_text_so_far() -> None:
    active = replace(RUN, state="active", text="Beca", last_sequence=3, usage=None)
    cursor = Cursor()
    assert kinds(missing_events(active, cursor)) == ["run", "delta"]
    assert cursor.sequence == 3


def test_a_run_that_has_written_nothing_yet_is_named_once() -> None:
    fresh = replace(RUN, state="active", text="", last_sequence=0, usage=None)
    cursor = Cursor()
    assert kinds(missing_events(fresh, cursor)) == ["run"]
    assert missing_events(fresh, cursor) == []
    assert not cursor.is_behind(event_of(1, 1, "run", {}))


def test_an_active_run_that_is_stored_less_far_than_the_reader_has_come_gives_nothing() -> None:
    active = replace(RUN, state="active", text="Be", last_sequence=3, usage=None)
    cursor = Cursor(after_sequence=5)
    assert missing_events(active, cursor) == []
    assert cursor.sequence == 5


def test_an_active_run_stored_up_to_the_very_place_gives_nothing_where_the_stream_goes_on() -> None:
    active = replace(RUN, state="active", text="Beca", last_sequence=5, usage=None)
    cursor = Cursor(after_sequence=5)
    assert missing_events(active, cursor, stream_goes_on=True) == []
    assert data_of(missing_events(active, cursor), "delta") == {"text": "Beca", "at": 0}


def test_a_failed_run_says_why_and_that_its_usage_is_estimated() -> None:
    error = {"code": "run_timeout", "message": "Too slow.", "retryable": True}
    events = missing_events(replace(RUN, state="failed", error=error, usage_source="estimate"), Cursor())
    assert data_of(events, "error") == error
    assert data_of(events, "usage")["estimated"] is True


def test_a_run_that_nobody_took_ends_with_an_error_that_invites_to_ask_again() -> None:
    events = never_started(Cursor())
    assert kinds(events) == ["error", "done"]
    assert data_of(events, "error")["retryable"] is True
