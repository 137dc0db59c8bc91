"""Events of a run's life, between gateway, chat-worker and usage-ledger."""

from datetime import datetime
from typing import ClassVar, Literal

from common.events.envelope import Company, Event, TokenUsage

RunStatus = Literal["completed", "incomplete", "cancelled", "interrupted", "failed"]
UsageSource = Literal["provider", "retrieved", "estimate", "none"]
"""Where a usage figure comes from. `estimate` marks the settlement `estimated`; `none`: nothing was spent."""


class RunRequestedV1(Event):
    """The gateway holds the tokens and asks for an answer. `event_id` is the run id.

    The text is not in here: the worker reads it from `messages`. After `claim_until` no worker may
    start the run any more, so a hold never outlives a run that might still begin.
    """

    name: ClassVar[str] = "run.requested"

    run_id: str
    thread_id: str
    message_id: str
    user_id: str
    company: Company | None
    assistant: str
    hold_tokens: int
    input_tokens_estimate: int
    max_output_tokens: int
    claim_until: datetime


class RunCancelRequestedV1(Event):
    """The user pressed stop. Told to every worker; the one that drives the run acts on it.

    It may be lost: `messages.cancel_requested_at` is what counts when a worker claims a run.
    """

    name: ClassVar[str] = "run.cancel_requested"
    needs_listener: ClassVar[bool] = False

    run_id: str


class RunFinishedV1(Event):
    """The run is terminal and stored. `event_id` is the run id: a repeat is the same fact."""

    name: ClassVar[str] = "run.finished"

    run_id: str
    thread_id: str
    user_id: str
    company: Company | None
    status: RunStatus
    usage: TokenUsage
    usage_source: UsageSource
    model: str
    assistant: str
    attempt: int
