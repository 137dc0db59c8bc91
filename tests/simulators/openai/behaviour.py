"""What the simulator is told to do with a request."""

import re
from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulators.openai.request import CreateRequest

Fault = Literal[
    "reset",  # TCP reset before any header
    "hang",  # no header ever
    "cut",  # TCP reset after `after_deltas`
    "fin",  # socket closed in good order after `after_deltas`, the last chunk missing
    "eof",  # stream ended in good order after `after_deltas`, no terminal event
    "stall",  # silence after `after_deltas`
    "malformed",  # broken JSON after `after_deltas`, then the stream goes on
    "error",  # `error` event with flat fields after `after_deltas`
    "error_nested",  # `error` event with an `error` object in it
    "failed",  # `response.failed` after `after_deltas`
    "error_first",  # `error` event in place of `response.created`
    "queued",  # the response never leaves `queued`
]
"""Faults up to `malformed` are of the connection: a background response goes on behind them."""

CONNECTION_FAULTS: frozenset[Fault] = frozenset({"cut", "fin", "eof", "stall", "malformed"})
GENERATION_FAULTS: frozenset[Fault] = frozenset({"error", "error_nested", "failed"})


class GeneratedFile(BaseModel):
    """A file that the answer makes. `cited_as` is how the client hears of it; all three link it in the text.

    container: a `container_file_citation` annotation. file: a `file_path` annotation. link: only the
    sandbox link in the text, to be found in the container's list of files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    content: str = ""
    size_bytes: int = 0
    cited_as: Literal["container", "file", "link"] = "container"
    expired: bool = False


class Behaviour(BaseModel):
    """How to answer. Unset means: at once, in full, and well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    marker: str | None = None
    """Only for requests whose last user text contains this."""
    times: int | None = Field(default=1, ge=1)
    """How many requests it is for; None for all. In a marker: how many POSTs of the same run it fails."""

    reply: str | None = None
    reply_tokens: int | None = Field(default=None, ge=0)
    """Answer with `t1 t2 t3 …`, so that a missing or doubled piece shows. Beats `reply`."""
    signed: bool = False
    """Mark each token of `reply_tokens` with letters of the response's own: `t1abc t2abc …`."""
    refusal: bool = False
    tokens_per_s: float | None = Field(default=None, gt=0)
    """None: as fast as the socket takes them."""
    delta_tokens: int = Field(default=1, ge=1)
    first_token_delay_s: float = Field(default=0, ge=0)
    reasoning_tokens: int = Field(default=0, ge=0)
    input_tokens: int | None = None
    cached_tokens: int | None = None
    content_filter: bool = False
    files: tuple[GeneratedFile, ...] = ()

    status: int | None = Field(default=None, ge=400, le=599)
    code: str | None = None
    retry_after_s: float | None = None

    fault: Fault | None = None
    after_deltas: int = Field(default=1, ge=0)
    resume_faults: int = Field(default=0, ge=0)
    """How many resumed streams suffer the same fault, each `after_deltas` after its start."""
    usage: Literal["full", "no_details", "missing"] = "full"
    usage_when_cancelled: bool = False
    sequence_numbers: bool = True
    background_ignored: bool = False
    cancel_ignored: bool = False
    end_delay_s: float = Field(default=0, ge=0)
    """How long the body stays open behind its terminal event."""
    noise: bool = False
    """Mix in comments and event types that nobody knows."""


DEFAULT = Behaviour(times=None)

_MARKER = re.compile(r"\[\[sim:\s*(\{.*?\})\s*\]\]", re.DOTALL)


class Script:
    """Behaviours waiting for their requests. A marker in the text beats the script."""

    def __init__(self) -> None:
        self._waiting: list[Behaviour] = []
        self._used: Counter[int] = Counter()
        self._marked: Counter[tuple[str, str]] = Counter()

    def add(self, behaviours: list[Behaviour]) -> None:
        self._waiting += behaviours

    def clear(self) -> None:
        self._waiting.clear()
        self._used.clear()
        self._marked.clear()

    def pick(self, request: CreateRequest) -> Behaviour:
        """Choose for one POST, and count it as used. Raises ValueError for a marker that is wrong."""
        found = _MARKER.search(request.last_user_text)
        if found is not None:
            return self._pick_marked(found[1], request)
        for behaviour in self._waiting:
            if behaviour.marker is None or behaviour.marker in request.last_user_text:
                self._use(behaviour)
                return behaviour
        return DEFAULT

    def _pick_marked(self, text: str, request: CreateRequest) -> Behaviour:
        try:
            behaviour = Behaviour.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(f"bad [[sim: …]] marker: {error}") from error
        key = (request.run_id, text)
        self._marked[key] += 1
        if behaviour.times is None or self._marked[key] <= behaviour.times:
            return behaviour
        # Else a retry of the run would meet the same fault for ever, and nothing could recover.
        return behaviour.model_copy(update={"fault": None, "status": None})

    def _use(self, behaviour: Behaviour) -> None:
        if behaviour.times is None:
            return
        self._used[id(behaviour)] += 1
        if self._used[id(behaviour)] >= behaviour.times:
            self._waiting.remove(behaviour)
            del self._used[id(behaviour)]


def without_marker(text: str) -> str:
    return _MARKER.sub("", text).strip()
