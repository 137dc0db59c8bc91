"""A message on its way to a run."""

from dataclasses import dataclass

from common.auth import Session
from gateway.threads.records import Place, Thread, UserMessage


@dataclass(frozen=True, slots=True)
class Sent:
    """What a user sent, as it came."""

    session: Session
    thread_id: str
    text: str
    client_message_id: str | None
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for it. `until_s`, by the monotonic clock, ends the waiting for ledger and queue."""

    session: Session
    thread: Thread
    message: UserMessage
    input_tokens: int
    until_s: float
