"""A message on its way to a run."""

from dataclasses import dataclass

from common.auth import Session
from common.events.runs import RunRequestedV1
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

    def request(self, *, assistant: str, hold_tokens: int) -> RunRequestedV1:
        """Write what a worker is asked for, which may use up the hold. Once more it is the same event."""
        message = self.message
        return RunRequestedV1(
            event_id=message.run_id,
            occurred_at=message.created_at,
            run_id=message.run_id,
            thread_id=message.thread_id,
            message_id=message.id,
            user_id=message.user_id,
            company=self.session.company,
            assistant=assistant,
            hold_tokens=hold_tokens,
            input_tokens_estimate=self.input_tokens,
            max_output_tokens=hold_tokens - self.input_tokens,
            claim_until=message.claim_until,
        )
