"""What a response will say, decided when it is asked for; and how its events look on the wire.

Nothing of a stream is kept: event n is written anew from the plan, so that a resumed stream costs no
memory and thousands of long streams fit in a process.
"""

import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from simulators.openai.behaviour import Behaviour, GeneratedFile, without_marker
from simulators.openai.request import CreateRequest, tokens_of


def sse(kind: str, sequence: int | None, fields: dict[str, Any]) -> bytes:
    number = {} if sequence is None else {"sequence_number": sequence}
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **number, **fields}))


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file of an answer, under the ids by which it is cited and fetched."""

    spec: GeneratedFile
    file_id: str
    container_id: str

    @property
    def path(self) -> str:
        return f"/mnt/data/{self.spec.name}"

    @property
    def link(self) -> str:
        return f"sandbox:{self.path}"

    def content(self) -> bytes:
        return (
            self.spec.content.encode()
            or (self.spec.name.encode() * self.spec.size_bytes)[: self.spec.size_bytes]
        )

    def annotation(self, text: str, index: int) -> dict[str, Any] | None:
        start = text.find(self.link)
        match self.spec.cited_as:
            case "container":
                return {
                    "type": "container_file_citation",
                    "container_id": self.container_id,
                    "file_id": self.file_id,
                    "filename": self.spec.name,
                    "start_index": max(start, 0),
                    "end_index": start + len(self.link) if start >= 0 else 0,
                }
            case "file":
                return {"type": "file_path", "file_id": self.file_id, "index": index}
            case "link":
                return None


@lru_cache(maxsize=256)
def _pieces(text: str, delta_tokens: int) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    """Cut a text into deltas, and write the part of each event that no id or number goes into."""
    tokens = tokens_of(text)
    deltas = tuple("".join(tokens[i : i + delta_tokens]) for i in range(0, len(tokens), delta_tokens))
    pads = ("pZ1x8QkT", "m4", "Wq9sLr2", "c7YtN")
    wire = tuple(
        b'%b,"logprobs":[],"obfuscation":"%b"}\n\n' % (orjson.dumps(delta), pads[i % 4].encode())
        for i, delta in enumerate(deltas)
    )
    return deltas, wire


class Answer:
    """The plan of one response: its text cut into deltas, its files, its usage."""

    def __init__(self, request: CreateRequest, behaviour: Behaviour, *, cached_tokens: int) -> None:
        self.request = request
        self.behaviour = behaviour
        key = secrets.token_hex(16)
        self.message_id = f"msg_{key}"
        self.reasoning_id = f"rs_{key}"
        self.call_id = f"ci_{key}"
        container_id = f"cntr_{key}"
        self.files = tuple(
            MadeFile(
                spec,
                file_id=f"{'file' if spec.cited_as == 'file' else 'cfile'}_{i}{key}",
                container_id=container_id,
            )
            for i, spec in enumerate(behaviour.files)
        )
        tokens = tokens_of(self._full_text())
        limit = request.max_output_tokens
        room = len(tokens) if limit is None else max(0, limit - behaviour.reasoning_tokens)
        self.is_cut_by_limit = len(tokens) > room
        self._tokens = min(len(tokens), room)
        self.deltas, self._wire = _pieces("".join(tokens[:room]), behaviour.delta_tokens)
        self._input_tokens = (
            behaviour.input_tokens if behaviour.input_tokens is not None else request.input_tokens
        )
        self._cached_tokens = (
            behaviour.cached_tokens if behaviour.cached_tokens is not None else cached_tokens
        )
        self._head = self._delta_head()

    def _full_text(self) -> str:
        behaviour = self.behaviour
        if behaviour.reply_tokens is not None:
            mark = "".join(secrets.choice("abcdefgh") for _ in range(4)) if behaviour.signed else ""
            text = " ".join(f"t{i}{mark}" for i in range(1, behaviour.reply_tokens + 1))
        elif behaviour.reply is not None:
            text = behaviour.reply
        else:
            text = f"Answer {self.request.user_messages} to: {without_marker(self.request.last_user_text)}"
        return text + "".join(f"\n\n[{f.spec.name}]({f.link})" for f in self.files)

    def _delta_head(self) -> bytes:
        kind = "response.refusal.delta" if self.behaviour.refusal else "response.output_text.delta"
        place = {"item_id": self.message_id, "output_index": self.message_index, "content_index": 0}
        body = orjson.dumps({"type": kind, **place})
        return b"event: %b\ndata: %b," % (kind.encode(), body[:-1])

    @property
    def message_index(self) -> int:
        """The place of the message among the items of the output."""
        return len(self.items_before())

    def items_before(self) -> list[dict[str, Any]]:
        """Items that come before the message, complete: reasoning, and the call that made the files."""
        items: list[dict[str, Any]] = []
        if self.behaviour.reasoning_tokens:
            items.append({"type": "reasoning", "id": self.reasoning_id, "summary": []})
        if any(f.spec.cited_as != "file" for f in self.files):
            items.append(
                {
                    "type": "code_interpreter_call",
                    "id": self.call_id,
                    "code": "…",
                    "container_id": self.files[0].container_id,
                    "outputs": None,
                    "status": "completed",
                }
            )
        return items

    def text(self, deltas: int) -> str:
        return "".join(self.deltas[:deltas])

    def delta_event(self, index: int, sequence: int) -> bytes:
        if not self.behaviour.sequence_numbers:
            return b'%b"delta":%b' % (self._head, self._wire[index])
        return b'%b"sequence_number":%d,"delta":%b' % (self._head, sequence, self._wire[index])

    def annotations(self, text: str) -> list[dict[str, Any]]:
        found = [f.annotation(text, i) for i, f in enumerate(self.files)]
        return [annotation for annotation in found if annotation is not None]

    def part(self, text: str) -> dict[str, Any]:
        if self.behaviour.refusal:
            return {"type": "refusal", "refusal": text}
        return {
            "type": "output_text",
            "text": text,
            "annotations": self.annotations(text) if text else [],
            "logprobs": [],
        }

    def message(self, text: str, status: str) -> dict[str, Any]:
        content = [self.part(text)] if text else []
        return {
            "type": "message",
            "id": self.message_id,
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def spent(self, deltas: int) -> dict[str, Any]:
        """What is billed when generation stops after so many deltas."""
        whole = deltas >= len(self.deltas)
        visible = self._tokens if whole else deltas * self.behaviour.delta_tokens
        reasoning = self.behaviour.reasoning_tokens
        output = visible + reasoning
        return {
            "input_tokens": self._input_tokens,
            "input_tokens_details": {
                "cached_tokens": min(self._cached_tokens, self._input_tokens),
                "cache_write_tokens": 0,
            },
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": self._input_tokens + output,
        }

    def reported(self, deltas: int) -> dict[str, Any] | None:
        """The usage that the client is told, which may be less than what was spent."""
        usage = self.spent(deltas)
        match self.behaviour.usage:
            case "full":
                return usage
            case "no_details":
                return {**usage, "input_tokens_details": None, "output_tokens_details": None}
            case "missing":
                return None
