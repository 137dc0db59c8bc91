"""What a reader still lacks of a run, from the stored run. Pure.

A stored run has no events, so all that is replayed before `done` carries the sequence of the place that
it leads to. A reader that is cut in the middle of a replay gets it again, text from the start: `at` says so.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from common.run_stream import RunEvent, event_of
from gateway.streaming.cursor import Cursor
from gateway.streaming.stored_runs import StoredRun

NOT_STARTED = {
    "code": "not_started",
    "message": "Nobody took up the question. Please ask again.",
    "retryable": True,
}


def missing_events(run: StoredRun, cursor: Cursor, *, stream_goes_on: bool = False) -> list[RunEvent]:
    """Return what the reader lacks and move its cursor. Ends with `done` if the run is terminal.

    An active run that is stored only up to a place which the reader has passed gives nothing. One stored up
    to the very place may have more text, but where the stream goes on from there, that brings it.
    """
    if not run.is_terminal:
        passed = run.last_sequence < cursor.sequence
        if passed or (stream_goes_on and run.last_sequence == cursor.sequence):
            return []
    return list(_missing(run, cursor))


def never_started(cursor: Cursor) -> list[RunEvent]:
    """Return the end of a run that no worker took in time."""
    sequence = cursor.sequence + 1
    return [
        event_of(cursor.fence, sequence, "error", NOT_STARTED),
        event_of(cursor.fence, sequence + 1, "done", {"status": "failed"}),
    ]


def _missing(run: StoredRun, cursor: Cursor) -> Iterator[RunEvent]:
    if run.is_terminal and cursor.sequence >= run.last_sequence:
        yield event_of(0, cursor.sequence, "done", {"status": run.state})
        return
    if cursor.sequence == 0:
        names = {"run_id": run.id, "thread_id": run.thread_id, "message_id": run.message_id}
        opening = event_of(0, 1, "run", names)
        cursor.take(opening)
        yield opening
    # `done` alone carries the last sequence: whoever has seen that one lacks nothing.
    sequence = run.last_sequence - 1 if run.is_terminal else run.last_sequence
    delta = cursor.take_stored_text(run.text, sequence=sequence)
    if delta is not None:
        yield delta
    if not run.is_terminal:
        return
    for kind, data in _ending(run):
        yield event_of(0, cursor.sequence, kind, data)
    yield event_of(0, run.last_sequence, "done", {"status": run.state})


def _ending(run: StoredRun) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for annotation in run.annotations:
        yield "annotation", annotation
    for file in run.files:
        yield "file", {"id": file["id"], "name": file["name"]}
    if run.error is not None:
        yield "error", run.error
    if run.usage is not None:
        yield "usage", {**run.usage, "estimated": run.usage_source == "estimate"}
