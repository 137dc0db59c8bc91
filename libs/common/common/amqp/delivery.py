"""What a handler is given, and what it may answer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from aio_pika.abc import AbstractIncomingMessage
from pydantic import ValidationError

from common.errors import Malformed
from common.events.envelope import Message

ATTEMPT_HEADER = "x-attempt"
DEAD_REASON_HEADER = "x-dead-reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A decoded message. `attempt` counts from 1 over the retry tiers, not over redeliveries."""

    message: Message
    message_id: str
    redelivered: bool
    attempt: int


@dataclass(frozen=True, slots=True)
class Done:
    """Handled, or known already: acknowledge."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Not now: wait in the next retry tier; after the last, set aside as a dead letter.

    `cause`: something that others need as well is `away`, the handler has a `bug`, or the message's own
    work is `busy` elsewhere, which says nothing of other messages.
    """

    reason: str
    cause: Literal["away", "bug", "busy"] = "away"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Never: set aside for a person, with the reason."""

    reason: str


Outcome = Done | RetryLater | DeadLetter
Handler = Callable[[Delivery], Awaitable[Outcome]]
BatchHandler = Callable[[list[Delivery]], Awaitable[list[Outcome]]]


def decode(incoming: AbstractIncomingMessage, types: Mapping[str, type[Message]]) -> Delivery:
    """Decode by the message's type. Raises Malformed for an unknown type or a body that does not fit."""
    message_type = types.get(incoming.type or "")
    if message_type is None:
        raise Malformed(f"unknown message type {incoming.type!r}")
    try:
        message = message_type.model_validate_json(incoming.body)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) or "body" for item in error.errors())
        raise Malformed(f"{incoming.type} does not fit its schema at: {places}") from None
    return Delivery(
        message=message,
        message_id=incoming.message_id or "",
        redelivered=bool(incoming.redelivered),
        attempt=attempt_of(incoming),
    )


def attempt_of(incoming: AbstractIncomingMessage) -> int:
    attempt = incoming.headers.get(ATTEMPT_HEADER, 1)
    return attempt if isinstance(attempt, int) and attempt > 0 else 1
