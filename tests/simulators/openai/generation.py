"""A response while it is being generated, and those who listen to it."""

import secrets
from collections.abc import Callable
from typing import Any, Literal, Protocol

from simulators.openai.answer import Answer, sse
from simulators.openai.behaviour import GENERATION_FAULTS

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
BURST_DELTAS = 128
"""Deltas per tick of a generation that is not paced."""


class Listener(Protocol):
    def pump(self) -> None:
        """Send what is ready."""
        ...

    @property
    def keeps_up(self) -> bool: ...


class Generation:
    """Events 0, 1, 2 … become ready as time passes: the opening, one event per delta, the closing."""

    def __init__(self, answer: Answer, *, created_at: int, on_closed: Callable[["Generation"], None]) -> None:
        self.id = f"resp_{secrets.token_hex(24)}"
        self.answer = answer
        self.background = answer.request.background and not answer.behaviour.background_ignored
        self.status: Status = (
            "queued" if self.background or answer.behaviour.fault == "queued" else "in_progress"
        )
        self.produced = 0
        self.was_cut = False
        """The client went away from a foreground response, which stopped it."""
        self.listeners: list[Listener] = []
        self._on_closed = on_closed
        self._created_at = created_at
        self._first_at_s: float | None = None
        self._error: dict[str, Any] | None = None
        self._closing: list[bytes] = []
        self._opening = self._write_opening()

    @property
    def is_closed(self) -> bool:
        return self.status not in ("queued", "in_progress")

    @property
    def ready(self) -> int:
        """How many events there are so far."""
        return len(self._opening) + self.produced + len(self._closing)

    def event_of_delta(self, start: int, deltas: int) -> int:
        """The event that follows so many deltas after an event."""
        return max(start, len(self._opening)) + deltas

    def events(self, start: int, end: int) -> bytes:
        """Write events start (included) to end (not included) as they go over the wire."""
        first = len(self._opening)
        last = first + self.produced
        return b"".join(
            (
                *self._opening[start:end],
                *(self.answer.delta_event(n - first, n) for n in range(max(start, first), min(end, last))),
                *self._closing[max(0, start - last) : max(0, end - last)],
            )
        )

    def advance(self, now_s: float) -> float | None:
        """Produce the deltas that are due by now."""
        behaviour = self.answer.behaviour
        if self.is_closed or self.status == "queued":
            return None
        if self._first_at_s is None:
            self._first_at_s = now_s + behaviour.first_token_delay_s
        if now_s < self._first_at_s:
            return self._first_at_s
        if not self.background and self.listeners and not any(x.keeps_up for x in self.listeners):
            return now_s
        goal = len(self.answer.deltas)
        fails = behaviour.fault in GENERATION_FAULTS
        if fails:
            goal = min(goal, behaviour.after_deltas)
        due_s = now_s
        if behaviour.tokens_per_s is None:
            self.produced = min(goal, self.produced + BURST_DELTAS)
        else:
            deltas_per_s = behaviour.tokens_per_s / behaviour.delta_tokens
            self.produced = min(goal, max(self.produced, int((now_s - self._first_at_s) * deltas_per_s) + 1))
            due_s = self._first_at_s + self.produced / deltas_per_s
        if self.produced < goal:
            self._pump()
            return due_s
        self._finish("failed" if fails else None)
        return None

    def cancel(self) -> None:
        if not self.is_closed and not self.answer.behaviour.cancel_ignored:
            self._close("cancelled")

    def client_gone(self) -> None:
        """Only a foreground response ends with its client."""
        if not self.background and not self.is_closed:
            self.was_cut = True
            self._close("incomplete")

    def response(self) -> dict[str, Any]:
        """The response object as it stands."""
        answer, behaviour = self.answer, self.answer.behaviour
        text = answer.text(self.produced)
        item_status = (
            "completed" if self.status == "completed" else "incomplete" if self.is_closed else "in_progress"
        )
        output = (
            [*answer.items_before(), answer.message(text, item_status)]
            if self.produced or self.is_closed
            else []
        )
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created_at,
            "status": self.status,
            "background": None if behaviour.background_ignored else self.background,
            "error": self._error,
            "incomplete_details": {"reason": self._reason()} if self.status == "incomplete" else None,
            "model": answer.request.model,
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "max_output_tokens": answer.request.max_output_tokens,
            "usage": self._usage(),
            **answer.request.echoed,
        }

    def _reason(self) -> str:
        return "content_filter" if self.answer.behaviour.content_filter else "max_output_tokens"

    def _usage(self) -> dict[str, Any] | None:
        if not self.is_closed or (
            self.status == "cancelled" and not self.answer.behaviour.usage_when_cancelled
        ):
            return None
        return self.answer.reported(self.produced)

    def _write_opening(self) -> list[bytes]:
        events: list[bytes] = []

        def add(kind: str, **fields: Any) -> None:
            events.append(self._event(kind, len(events), fields))

        if self.answer.behaviour.fault == "error_first":
            self.status, self._error = "failed", self._failure()
            add("error", **self._error, param=None)
            return events
        add("response.created", response=self.response())
        if self.status == "queued":
            add("response.queued", response=self.response())
            if self.answer.behaviour.fault == "queued":
                return events
        self.status = "in_progress"
        add("response.in_progress", response=self.response())
        items = self.answer.items_before()
        for index, item in enumerate(items):
            add("response.output_item.added", output_index=index, item=item)
            add("response.output_item.done", output_index=index, item=item)
        item = {**self.answer.message("", "in_progress"), "content": []}
        add("response.output_item.added", output_index=len(items), item=item)
        if self.answer.behaviour.noise:
            add("response.novelty.delta", delta="nobody knows this", item_id="x")
        place = {"item_id": self.answer.message_id, "output_index": len(items), "content_index": 0}
        add("response.content_part.added", **place, part=self.answer.part(""))
        return events

    def _event(self, kind: str, sequence: int, fields: dict[str, Any]) -> bytes:
        behaviour = self.answer.behaviour
        comment = b": a comment\n\n" if behaviour.noise else b""
        return comment + sse(kind, sequence if behaviour.sequence_numbers else None, fields)

    def _finish(self, status: Status | None) -> None:
        answer = self.answer
        incomplete = answer.is_cut_by_limit or answer.behaviour.content_filter
        self._close(status or ("incomplete" if incomplete else "completed"))

    def _close(self, status: Status) -> None:
        self.status = status
        if status == "failed":
            self._error = self._failure()
        if status != "cancelled" and not self.was_cut:
            self._write_closing()
        self._pump()
        self._on_closed(self)

    def _failure(self) -> dict[str, Any]:
        code = self.answer.behaviour.code or "server_error"
        return {"code": code, "message": "The model failed on key sk-do-not-show."}

    def _write_closing(self) -> None:
        first = len(self._opening) + self.produced

        def add(kind: str, **fields: Any) -> None:
            self._closing.append(self._event(kind, first + len(self._closing), fields))

        if self.status == "failed":
            match self.answer.behaviour.fault:
                case "error":
                    add("error", **(self._error or {}), param=None)
                case "error_nested":
                    add("error", error={"type": "server_error", "param": None, **(self._error or {})})
                case _:
                    add("response.failed", response=self.response())
            return
        text = self.answer.text(self.produced)
        place = {
            "item_id": self.answer.message_id,
            "output_index": self.answer.message_index,
            "content_index": 0,
        }
        if self.answer.behaviour.refusal:
            add("response.refusal.done", **place, refusal=text)
        else:
            for index, annotation in enumerate(self.answer.annotations(text)):
                add(
                    "response.output_text.annotation.added",
                    **place,
                    annotation_index=index,
                    annotation=annotation,
                )
            add("response.output_text.done", **place, text=text, logprobs=[])
        add("response.content_part.done", **place, part=self.answer.part(text))
        item = self.answer.message(text, self.status)
        add("response.output_item.done", output_index=self.answer.message_index, item=item)
        add(f"response.{self.status}", response=self.response())

    def _pump(self) -> None:
        for listener in tuple(self.listeners):
            listener.pump()
