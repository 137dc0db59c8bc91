"""A run as it stands in the collection `runs`, whose only writer is this service."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.events.envelope import Company, TokenUsage
from common.events.runs import RunFinishedV1, RunRequestedV1, RunStatus, UsageSource
from common.mongo.client import Document

ACTIVE = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to drive a run: every write to it carries the fence, and fails once another has claimed it.

    `text`, `response_id`, `background` and `last_sequence` are what an earlier attempt left behind, and
    `starts` how often the model was, or may have been, asked by then. `started_at` is the first claim's.
    """

    request: RunRequestedV1
    fence: int
    started_at: datetime
    starts: int = 0
    text: str = ""
    last_sequence: int = 0
    response_id: str | None = None
    background: bool = False

    @property
    def run_id(self) -> str:
        return self.request.run_id

    @property
    def is_takeover(self) -> bool:
        return self.fence > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """Everything about how a run ended. `context_tokens`: what the next message will have to send along."""

    status: RunStatus
    text: str
    usage: TokenUsage
    usage_source: UsageSource
    context_tokens: int
    last_sequence: int
    error: dict[str, Any] | None
    annotations: list[dict[str, Any]]
    files: list[dict[str, Any]]


def new_run(
    request: RunRequestedV1, *, owner: str, assistant: str, model: str, now: datetime, lease_until: datetime
) -> Document:
    return {
        "_id": request.run_id,
        "thread_id": request.thread_id,
        "user_id": request.user_id,
        "company": request.company.model_dump() if request.company else None,
        "message_id": request.message_id,
        "assistant": assistant,
        "model": model,
        "state": ACTIVE,
        "fence": 1,
        "starts": 1,
        "owner": owner,
        "lease_until": lease_until,
        "hold_tokens": request.hold_tokens,
        "input_tokens_estimate": request.input_tokens_estimate,
        "max_output_tokens": request.max_output_tokens,
        "claim_until": request.claim_until,
        "response_id": None,
        "background": False,
        "text": "",
        "last_sequence": 0,
        "usage": None,
        "usage_source": None,
        "context_tokens": 0,
        "error": None,
        "annotations": [],
        "files": [],
        "created_at": request.occurred_at,
        "started_at": now,
        "finished_at": None,
    }


def request_of(run: Document) -> RunRequestedV1:
    """Rebuild the request from a stored run, for one whose message is lost."""
    return RunRequestedV1(
        event_id=run["_id"],
        occurred_at=run["created_at"],
        run_id=run["_id"],
        thread_id=run["thread_id"],
        message_id=run["message_id"],
        user_id=run["user_id"],
        company=Company.model_validate(run["company"]) if run["company"] else None,
        assistant=run["assistant"],
        hold_tokens=run["hold_tokens"],
        input_tokens_estimate=run["input_tokens_estimate"],
        max_output_tokens=run["max_output_tokens"],
        claim_until=run["claim_until"],
    )


def finished_event(run: Document) -> RunFinishedV1:
    """Announce a stored end. The same run always makes the same event."""
    return RunFinishedV1(
        event_id=run["_id"],
        occurred_at=run["finished_at"],
        run_id=run["_id"],
        thread_id=run["thread_id"],
        user_id=run["user_id"],
        company=Company.model_validate(run["company"]) if run["company"] else None,
        status=run["state"],
        usage=TokenUsage.model_validate(run["usage"]),
        usage_source=run["usage_source"],
        model=run["model"],
        assistant=run["assistant"],
        attempt=run["fence"],
    )
