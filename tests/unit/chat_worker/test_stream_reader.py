"""What the bytes of a response's stream mean for a run."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_worker.engine.interface import Annotation, Delta, EngineEvent, FileCited, Finished, Started, Working
from chat_worker.engine.stream_reader import StreamReader
from common.events.envelope import TokenUsage

USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 0},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 42,
}


def event(kind: str, *, named: bool = True, **fields: Any) -> bytes:
    head = f"event: {kind}\n".encode() if named else b""
    return head + b"data: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def created(**fields: Any) -> bytes:
    return event("response.created", response={"id": "resp_1", "status": "queued", **fields})


def delta(text: str, **fields: Any) -> bytes:
    return event("response.output_text.delta", delta=text, **fields)


def message(text: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "message",
        "content": [{"type": "output_text", "text": text, "annotations": list(annotations)}],
    }


def ended(status: str, *output: dict[str, Any], **fields: Any) -> bytes:
    response = {"id": "resp_1", "status": status, "output": list(output), "usage": USAGE, **fields}
    return event(f"response.{status}", response=response)


def read(*chunks: bytes) -> tuple[list[EngineEvent], StreamReader]:
    reader = StreamReader()
    return [e for chunk in chunks for e in reader.feed(chunk)], reader


def said(events: list[EngineEvent]) -> str:
    return "".join(e.text for e in events if isinstance(e, Delta))


def test_a_run_from_created_to_completed():
    events, reader = read(
        created(background=True),
        event("response.queued", response={}),
        event("response.in_progress", response={}),
        delta("Hel"),
        delta("lo"),
        ended("completed", message("Hello")),
    )

    assert events == [Started("resp_1", background=True), Working(), Delta("Hel"), Delta("lo")]
    assert reader.finished == Finished(
        "completed", TokenUsage(input_tokens=30, cached_tokens=20, output_tokens=12, reasoning_tokens=4)
    )


def test_deltas_of_one_read_come_out_as_one():
    events, _ = read(created() + delta("a") + delta("b") + delta("c"), delta("d"))

    assert [e for e in events if isinstance(e, Delta)] == [Delta("abc"), Delta("d")]


def test_a_background_flag_that_is_not_repeated_was_ignored():
    for fields in ({}, {"background": None}, {"background": False}):
        events, _ = read(created(**fields))
        assert events == [Started("resp_1", background=False)]


def test_a_stream_without_event_names_is_read_by_type():
    events, reader = read(
        event("response.created", named=False, response={"id": "resp_1"}),
        event("response.output_text.delta", named=False, delta="hi"),
        event("response.completed", named=False, response={"status": "completed", "usage": None}),
        b"data: [DONE]\n\n",
    )

    assert said(events) == "hi"
    assert reader.finished == Finished("completed", None)


@pytest.mark.parametrize("details", [None, {}])
def test_usage_without_details_counts(details: Any):
    usage = {
        "input_tokens": 3,
        "input_tokens_details": details,
        "output_tokens": 2,
        "output_tokens_details": details,
    }

    _, reader = read(created(), ended("completed", usage=usage))

    assert reader.finished == Finished("completed", TokenUsage(input_tokens=3, output_tokens=2))


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"input_tokens": 0, "output_tokens": 0},
        {"input_tokens": "many"},
        {"input_tokens": 2**63, "output_tokens": 2},
        {"input_tokens": 3, "output_tokens": 2**63},
        {"input_tokens": 2**53, "output_tokens": 2**53},
        {"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 2**63}},
        {"input_tokens": 3, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 2**63}},
    ],
)
def test_usage_that_tells_nothing_is_none(usage: Any):
    _, reader = read(created(), delta("x"), ended("completed", usage=usage))

    assert reader.finished == Finished("completed", None)


def test_an_incomplete_answer_keeps_its_usage():
    _, reader = read(created(), ended("incomplete", incomplete_details={"reason": "max_output_tokens"}))

    assert reader.finished is not None
    assert reader.finished.status == "incomplete"
    assert reader.finished.usage is not None


def test_a_failed_response_says_why_in_our_own_words():
    error = {"code": "rate_limit_exceeded", "message": "key sk-secret over its limit"}

    _, reader = read(created(), ended("failed", error=error, usage=None))

    assert reader.finished is not None
    assert reader.finished.error is not None
    assert reader.finished.error.code == "provider_busy"
    assert reader.finished.error.retryable
    assert "sk-secret" not in reader.finished.error.message


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("server_error", "provider_failed"),
        ("content_policy_violation", "declined"),
        ("cyber_policy", "declined"),
        ("context_length_exceeded", "context_too_long"),
        ("never_heard_of", "provider_failed"),
        (None, "provider_failed"),
    ],
)
def test_codes_of_the_provider_become_ours(code: str | None, told: str):
    _, reader = read(created(), ended("failed", error={"code": code, "message": "m"}))

    assert reader.finished is not None
    assert reader.finished.error is not None
    assert reader.finished.error.code == told


@pytest.mark.parametrize(
    "error",
    [
        {"code": "invalid_prompt", "message": "m"},
        {"error": {"code": "invalid_prompt", "message": "m"}},
        {"error": {"type": "invalid_prompt", "code": None, "message": "m"}},
    ],
)
def test_an_error_event_ends_the_run_whether_flat_or_nested(error: dict[str, Any]):
    events, reader = read(created(), delta("a"), event("error", **error), delta("after"))

    assert reader.finished is not None
    assert reader.finished.status == "failed"
    assert reader.finished.error is not None
    assert reader.finished.error.code == "declined"
    assert said(events[:3]) == "a"


@pytest.mark.parametrize(
    "shown",
    [
        delta("Hel"),
        event("response.output_text.annotation.added", annotation={"type": "file_citation", "index": 1}),
        ended("failed", message("Hel")),
    ],
)
def test_whatever_is_shown_was_begun_though_no_event_says_so(shown: bytes):
    _, reader = read(shown)

    assert reader.started


def test_an_error_in_place_of_a_response_begins_nothing():
    _, reader = read(event("error", code="rate_limit_exceeded"))

    assert not reader.started


def test_an_error_without_any_type_is_an_error():
    _, reader = read(created(), b'data: {"error": {"message": "no"}}\n\n')

    assert reader.finished is not None
    assert reader.finished.status == "failed"


def test_a_refusal_is_what_the_model_says():
    part = {"type": "refusal", "refusal": "I will not."}
    output = {"type": "message", "content": [part]}

    events, _ = read(
        created(),
        event("response.refusal.delta", delta="I will "),
        event("response.refusal.delta", delta="not."),
        ended("completed", output),
    )

    assert said(events) == "I will not."


def test_event_types_that_nobody_knows_are_skipped_unparsed():
    events, reader = read(
        created() + b"event: response.novelty\ndata: not even json\n\n" + delta("a"), ended("completed")
    )

    assert said(events) == "a"
    assert not reader.broken


def test_broken_json_keeps_what_came_before_it():
    events, reader = read(created() + delta("a") + b"event: error\ndata: {half\n\n" + delta("b"))

    assert said(events) == "a"
    assert reader.broken
    assert reader.finished is None


def test_two_messages_of_one_response_are_set_apart():
    first, second = message("Let me look."), message("It rains.")

    events, reader = read(
        created(),
        delta("Let me look."),
        event("response.output_item.done", item=first),
        event("response.output_item.done", item={"type": "web_search_call"}),
        delta("It "),
        delta("rains."),
        event("response.output_item.done", item=second),
        ended("completed", first, {"type": "web_search_call"}, second),
    )

    assert said(events) == "Let me look.\n\nIt rains."
    assert reader.finished is not None


def test_a_text_that_only_the_terminal_event_carries_is_said():
    events, _ = read(created(), ended("completed", message("short")))

    assert said(events) == "short"


def test_an_annotation_is_told_once():
    link = {
        "type": "url_citation",
        "url": "https://example.org",
        "title": "t",
        "start_index": 0,
        "end_index": 1,
    }

    events, _ = read(
        created(),
        delta("x"),
        event("response.output_text.annotation.added", annotation=link),
        ended("completed", message("x", link)),
    )

    assert [e for e in events if isinstance(e, Annotation)] == [Annotation(link)]


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        (
            {"type": "file_citation", "file_id": "file_1", "filename": "a.pdf", "index": 3},
            {"type": "file_citation", "filename": "a.pdf", "index": 3},
        ),
        (
            {"type": "url_citation", "url": "https://example.org", "response_id": "resp_1"},
            {"type": "url_citation", "url": "https://example.org"},
        ),
        ({"type": "url_citation", "url": "javascript:alert(1)"}, None),
        ({"type": "something_new", "file_id": "file_1"}, None),
    ],
)
def test_an_annotation_names_nothing_at_the_provider(
    annotation: dict[str, Any], shown: dict[str, Any] | None
):
    added = event("response.output_text.annotation.added", annotation=annotation)

    events, reader = read(created(), delta("x"), added, ended("completed", message("x", annotation)))

    expected = [] if shown is None else [shown]
    assert [e.data for e in events if isinstance(e, Annotation)] == expected
    assert reader.citations.annotations == expected


class TestFiles:
    CALL = {"type": "code_interpreter_call", "container_id": "cntr_1"}  # noqa: RUF012 - never changed

    def test_a_file_of_a_container_is_cited_once(self):
        cited = {
            "type": "container_file_citation",
            "container_id": "cntr_1",
            "file_id": "cfile_1",
            "filename": "a.csv",
        }
        text = "[a.csv](sandbox:/mnt/data/a.csv)"

        events, reader = read(
            created(),
            event("response.output_text.annotation.added", annotation=cited),
            ended("completed", self.CALL, message(text, cited)),
        )

        assert [e for e in events if isinstance(e, FileCited)] == [FileCited("cfile_1", "a.csv", "cntr_1")]
        assert reader.citations.linked_paths == []

    def test_a_file_path_is_named_by_its_link(self):
        cited = {"type": "file_path", "file_id": "file_1", "index": 0}

        events, _ = read(
            created(), ended("completed", message("[it](sandbox:/mnt/data/my%20plan.pdf)", cited))
        )

        assert [e for e in events if isinstance(e, FileCited)] == [FileCited("file_1", "my plan.pdf", None)]

    def test_a_link_without_annotation_is_left_to_be_found_in_the_container(self):
        _, reader = read(created(), ended("completed", self.CALL, message("[it](sandbox:/mnt/data/b.png)")))

        assert reader.citations.container_id == "cntr_1"
        assert reader.citations.linked_paths == ["/mnt/data/b.png"]

    def test_an_annotation_without_its_ids_is_no_file(self):
        events, _ = read(created(), ended("completed", message("x", {"type": "container_file_citation"})))

        assert [e for e in events if isinstance(e, FileCited)] == []


@given(st.lists(st.text(max_size=5), max_size=20), st.lists(st.integers(0, 4_000), max_size=6))
def test_any_cut_says_the_same_text(texts: list[str], cuts: list[int]):
    stream = created() + b"".join(delta(t) for t in texts) + ended("completed", message("".join(texts)))
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})

    events, reader = read(*(stream[a:b] for a, b in pairwise(places)))

    assert said(events) == "".join(texts)
    assert reader.finished is not None


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise(noise: bytes):
    read(created(), noise + b"\n\n", b"data: " + noise + b"\n\n")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "status", "output", "content", "usage", "text"]), inner, max_size=3
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(
        ["response.created", "response.completed", "response.failed", "error", "response.output_item.done"]
    ),
)
def test_no_shape_of_json_raises(shape: Any, kind: str):
    read(created(), event(kind, response=shape, item=shape, error=shape, annotation=shape))
