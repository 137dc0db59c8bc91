"""A row of the ledger: append-only, with the balance before and after."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from common.events.envelope import Company
from common.events.ledger import TransactionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One change of a balance. `tokens` is signed: usage is negative, a grant positive.

    `id` is made from what caused the row, so that the same cause can never be booked twice.
    `sequence` counts the rows of an account from 1 without gaps. `details` are the fields that only
    some kinds have, see `SettledRun` and `adjust`.
    """

    id: str
    user_id: str
    company: Company | None
    kind: TransactionKind
    tokens: int
    balance_before: int
    balance_after: int
    sequence: int
    actor: str
    reason: str
    at: datetime
    details: dict[str, Any] = field(default_factory=dict[str, Any])


def opening_id(user_id: str) -> str:
    return f"open:{user_id}"


def usage_id(run_id: str) -> str:
    return f"usage:{run_id}"


def correction_id(run_id: str) -> str:
    return f"correction:{run_id}"


def grant_id(user_id: str, sequence: int) -> str:
    return f"grant:{user_id}:{sequence}"


def quota_id(user_id: str, source_event: str) -> str:
    return f"quota:{user_id}:{source_event}"


def adjustment_id(request_id: str) -> str:
    return f"adjust:{request_id}"
