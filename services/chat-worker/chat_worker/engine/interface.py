"""What a run needs from a model: one stream of events, told apart by type, and a few calls beside it.

Order of a stream: `Started` once, `Working` once where the provider says so, then any number of `Delta`,
`Annotation` and `FileCited`, then `Finished` once, behind which only `FileCited` may follow: how the run
ended does not wait for a search for its files. A stream that ends without `Finished` raises `StreamLost`:
silence is never success.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from common.events.envelope import TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One request to the model. `user_ref` is a keyed hash: the provider never learns who the user is."""

    run_id: str
    attempt: int
    thread_id: str
    user_ref: str
    model: str
    instructions: str
    input: list[dict[str, str]]
    max_output_tokens: int
    background: bool = False
    tools: tuple[dict[str, Any], ...] = ()
    params: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Started:
    """The provider has taken the request. `background` says whether it honours background mode."""

    response_id: str | None
    background: bool


@dataclass(frozen=True, slots=True)
class Working:
    """The provider has taken the request out of its queue."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Text, as much as came in one read from the network."""

    text: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """A note of the provider on the text (a citation, a link), without what names things at the provider."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileCited:
    """A file that the assistant made. It expires at the provider, so it is copied when the run ends."""

    file_id: str
    name: str
    container_id: str | None


@dataclass(frozen=True, slots=True)
class ProviderError:
    """Why a run failed, in a stable code and our own words (the provider's may echo a key)."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """The terminal event. `usage` is None where the provider reported none."""

    status: Literal["completed", "incomplete", "cancelled", "failed"]
    usage: TokenUsage | None
    error: ProviderError | None = None


EngineEvent = Started | Working | Delta | Annotation | FileCited | Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A stored response as retrieved by its id. `finished` is None while it is being written."""

    text: str
    finished: Finished | None
    files: tuple[FileCited, ...] = ()
    annotations: tuple[dict[str, Any], ...] = ()


class ModelError(Exception):
    """Base of what a stream or a call may raise. The classes say what may be done about it."""


class ProviderBusy(ModelError):
    """Refused before anything began (429, 5xx, no connection): nothing was spent, try again."""

    def __init__(self, error: ProviderError, *, retry_after_s: float | None = None) -> None:
        super().__init__(error.code)
        self.error = error
        self.retry_after_s = retry_after_s


class ProviderRefused(ModelError):
    """Refused for good (key, model, quota, input): nothing was spent, trying again will not help."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(error.code)
        self.error = error


class InputTooLong(ProviderRefused):
    """Refused because the conversation does not fit the model: a shorter one may."""


class ProviderAmbiguous(ModelError):
    """The request was sent and no answer came: the provider may or may not be working on it."""


class StreamLost(ModelError):
    """The stream had begun and ended with no terminal event."""


class Engine(Protocol):
    """Drives runs on one provider. Closing the iterator closes the connection behind it."""

    def run(self, spec: RunSpec) -> AsyncIterator[EngineEvent]:
        """Start a response and stream it. Raises any ModelError."""
        ...

    def resume(self, response_id: str) -> AsyncIterator[EngineEvent]:
        """Stream a background response again from its very beginning; whoever asks skips what it has.

        Raises ProviderRefused when the provider cannot stream it, StreamLost and ProviderBusy as `run`.
        """
        ...

    async def cancel(self, response_id: str) -> Snapshot | None:
        """Cancel a background response; return its state then, or None if the provider does not say."""
        ...

    async def retrieve(self, response_id: str) -> Snapshot | None:
        """Return a stored response, or None if the provider has none by this id or does not answer."""
        ...

    async def download(self, file: FileCited, *, bytes_max: int) -> bytes:
        """Fetch a file that the assistant made. Raises ModelError, also above `bytes_max`."""
        ...
