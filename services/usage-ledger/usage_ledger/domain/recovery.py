"""What becomes of a hold whose time is up. The run is asked first, the clock only after it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from common.events.envelope import Company, TokenUsage
from usage_ledger.domain.account import LEDGER, Hold
from usage_ledger.domain.settlement import FinishedRun

EXTENSION = timedelta(seconds=60)

Action = Literal["drop", "settle", "estimate", "extend", "release"]
"""drop: settled already · settle: finished, but its event was lost · estimate: nobody will finish it ·
extend: it may still be going on · release: it never began, and may not begin any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What the ledger reads of a document of `runs`."""

    run_id: str
    thread_id: str
    user_id: str
    company: Company | None
    state: str
    lease_until: datetime | None
    usage: TokenUsage | None
    usage_source: str | None
    input_tokens_estimate: int
    text: str
    model: str
    assistant: str
    finished_at: datetime | None
    fence: int = 1

    @property
    def is_active(self) -> bool:
        return self.state == "active"


def action_for(
    hold: Hold, *, run: RunRecord | None, is_settled: bool, hold_ttl: timedelta, now: datetime
) -> Action:
    """Decide on a hold that has expired.

    An active run whose worker is gone gets as much time again as the hold had at first: another worker
    recovers it, with the provider's figures. Only after that its usage is estimated.
    """
    if is_settled:
        return "drop"
    if run is None:
        return "release"
    if not run.is_active:
        return "settle"
    if run.lease_until is not None and run.lease_until > now:
        return "extend"
    return "extend" if now < hold.placed_at + 2 * hold_ttl else "estimate"


def finished(run: RunRecord, *, now: datetime) -> FinishedRun:
    """Read a terminal run as its lost event would have told it."""
    return _settlement(
        run,
        usage=run.usage or TokenUsage(),
        estimated=run.usage_source == "estimate",
        provisional=False,
        finished_at=run.finished_at or now,
        reason=f"run {run.state}",
    )


def estimated(run: RunRecord, *, output_tokens: int, hold_tokens: int, now: datetime) -> FinishedRun:
    """Estimate what an abandoned run used: its input, and the text that it wrote so far.

    Never more than was held: what nobody counted must not put anybody into debt.
    """
    input_tokens = min(run.input_tokens_estimate, hold_tokens)
    return _settlement(
        run,
        usage=TokenUsage(
            input_tokens=input_tokens, output_tokens=min(output_tokens, hold_tokens - input_tokens)
        ),
        estimated=True,
        provisional=True,
        finished_at=now,
        reason="run abandoned",
    )


def _settlement(
    run: RunRecord,
    *,
    usage: TokenUsage,
    estimated: bool,
    provisional: bool,
    finished_at: datetime,
    reason: str,
) -> FinishedRun:
    return FinishedRun(
        run_id=run.run_id,
        thread_id=run.thread_id,
        user_id=run.user_id,
        company=run.company,
        usage=usage,
        estimated=estimated,
        model=run.model,
        assistant=run.assistant,
        finished_at=finished_at,
        actor=LEDGER,
        reason=reason,
        provisional=provisional,
        attempt=run.fence,
    )
