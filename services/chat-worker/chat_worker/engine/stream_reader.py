"""From the bytes of a response's stream to the events of a run. No I/O: it is fed, and says what it saw.

Only event types that carry meaning are parsed; all others are skipped by their name. Text that comes in
one read goes out in one piece, so the cost is per read, not per token.
"""

from collections.abc import Callable
from functools import partial

import orjson

from chat_worker.engine.interface import Annotation, Delta, EngineEvent, FileCited, Finished, Started, Working
from chat_worker.engine.payloads import (
    MESSAGE_BREAK,
    Citations,
    EndStatus,
    Json,
    as_object,
    as_text,
    citation,
    citations_of,
    container_file,
    finished_as,
    finished_of,
    message_text,
    response_text,
)
from chat_worker.engine.provider_errors import error_of_event
from chat_worker.engine.sse import EventTooLarge, SseDecoder

_TEXT = frozenset({"response.output_text.delta", "response.refusal.delta"})
_WAITING = frozenset({"response.created", "response.queued"})
_TERMINAL: dict[str, EndStatus] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    # Not among the documented types, but a status of a response, so a peer may well send it.
    "response.cancelled": "cancelled",
}


class StreamReader:
    """Reads one stream.

    `started` tells that a response was begun: it has a name, or something of it was shown. `finished` is the
    terminal event once it has come, and `citations` what the answer refers to. `broken` tells that the
    stream is not to be trusted any further.
    """

    def __init__(self) -> None:
        self.started = False
        self.finished: Finished | None = None
        self.citations = Citations()
        self.broken = False
        self._decoder = SseDecoder()
        self._is_working = False
        self._text: list[str] = []
        self._has_text = False
        self._break_before_text = False
        self._events: list[EngineEvent] = []
        self._annotations: list[Json] = []
        self._files: set[FileCited] = set()
        self._handlers: dict[str, Callable[[Json], None]] = {
            "response.created": self._created,
            "response.output_item.done": self._item_done,
            "response.output_text.annotation.added": self._annotated,
            "error": self._failed,
            **{kind: partial(self._ended, status) for kind, status in _TERMINAL.items()},
        }
        self._known = frozenset(name.encode() for name in (*self._handlers, *_TEXT))

    def feed(self, chunk: bytes) -> list[EngineEvent]:
        """Return what the bytes mean, `Finished` excepted; stops at a terminal event and where it breaks."""
        try:
            for name, data in self._decoder.feed(chunk):
                if name and name not in self._known:
                    self._note_work(name.decode(errors="replace"))
                elif data != b"[DONE]":
                    self._handle(name, orjson.loads(data))
                if self.finished is not None:
                    break
        except (orjson.JSONDecodeError, EventTooLarge):
            self.broken = True
        self._flush()
        events, self._events = self._events, []
        return events

    def _handle(self, name: bytes, value: object) -> None:
        body = as_object(value)
        kind = (
            as_text(body.get("type")) or name.decode(errors="replace") or ("error" if "error" in body else "")
        )
        self._note_work(kind)
        if kind in _TEXT:
            self._say(as_text(body.get("delta")))
        elif handler := self._handlers.get(kind):
            self._flush()
            handler(body)

    def _note_work(self, kind: str) -> None:
        """Any event but those of the queue shows that the provider has begun."""
        if not self._is_working and kind not in _WAITING:
            self._is_working = True
            self._events.append(Working())

    def _say(self, text: str) -> None:
        if self._break_before_text and text:
            self._break_before_text = False
            text = MESSAGE_BREAK + text
        self._text.append(text)

    def _flush(self) -> None:
        text = "".join(self._text)
        self._text.clear()
        if text:
            # A peer may leave out `response.created`; what is shown was begun all the same.
            self.started = True
            self._has_text = True
            self._events.append(Delta(text))

    def _created(self, body: Json) -> None:
        response = as_object(body.get("response"))
        self.started = True
        # A peer that does not know background mode ignores the flag, and repeats it neither.
        self._events.append(
            Started(as_text(response.get("id")) or None, background=response.get("background") is True)
        )

    def _item_done(self, body: Json) -> None:
        item = as_object(body.get("item"))
        if item.get("type") == "message" and message_text(item):
            self._break_before_text = True

    def _annotated(self, body: Json) -> None:
        annotation = as_object(body.get("annotation"))
        if file := container_file(annotation):
            self._cite(file)
        elif shown := citation(annotation):
            self._annotate(shown)

    def _annotate(self, annotation: Json) -> None:
        if annotation not in self._annotations:
            self.started = True
            self._annotations.append(annotation)
            self._events.append(Annotation(annotation))

    def _cite(self, file: FileCited) -> None:
        if file not in self._files:
            self.started = True
            self._files.add(file)
            self._events.append(file)

    def _failed(self, body: Json) -> None:
        """Read an `error` event, whose fields stand in it or in an object of their own."""
        error = as_object(body.get("error")) or body
        code = as_text(error.get("code")) or as_text(error.get("type"))
        self.finished = Finished("failed", None, error_of_event(code))

    def _ended(self, status: EndStatus, body: Json) -> None:
        response = as_object(body.get("response"))
        if not self._has_text:
            # A peer may give a short answer whole, without a delta before it.
            self._say(response_text(response))
            self._flush()
        self.citations = citations_of(response)
        for annotation in self.citations.annotations:
            self._annotate(annotation)
        for file in self.citations.files:
            self._cite(file)
        self.finished = finished_of(response) or finished_as(status, response)
