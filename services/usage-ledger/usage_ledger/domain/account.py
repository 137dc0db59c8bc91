"""An account: what a user has, what is held for open runs, and how both may change.

`available` is always `balance - held`; it is stored, so that a hold is one conditional write. Every
change of the balance is one row; holds and their release change `held` only and have no row. Nothing is
clamped: a settlement above its hold may take the balance below zero.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from common.errors import Conflict, Malformed
from common.events.envelope import Company
from common.events.ledger import TransactionKind
from usage_ledger.domain.transaction import Transaction, adjustment_id, grant_id, opening_id

LEDGER = "usage-ledger"
"""The actor of rows that the ledger writes by its own rules."""

CLOSED_RUNS_MAX = 20
TOKENS_MAX = 2**53
"""Above this a figure is a mistake, and JavaScript could not show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Tokens reserved for a run that may still be going on."""

    run_id: str
    tokens: int
    placed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who the user is, as the session says."""

    user_id: str
    name: str | None = None
    email: str | None = None
    company: Company | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What users get: the first balance, and `token_grant` again once that is used up.

    Between two grants `grant_period` must pass; the first balance counts as the first grant.
    """

    token_balance: int
    token_grant: int
    grant_period: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`closed_run_ids` are the last runs whose hold was closed, newest last.

    A repeated or late request for a hold is recognised by them without another read, so a hold is
    closed once and for all. `refused_at` is when a message could not be paid while nothing was held;
    a rise of the balance clears it. `quota_at` and `quota_event` are the version of the quota in force.
    """

    profile: Profile
    balance: int
    held: int
    available: int
    token_grant: int
    sequence: int
    created_at: datetime
    last_active_at: datetime
    quota: int | None = None
    quota_at: datetime | None = None
    quota_event: str | None = None
    holds: tuple[Hold, ...] = ()
    closed_run_ids: tuple[str, ...] = ()
    granted_at: datetime | None = None
    refused_at: datetime | None = None

    @property
    def user_id(self) -> str:
        return self.profile.user_id

    def hold_of(self, run_id: str) -> Hold | None:
        return next((hold for hold in self.holds if hold.run_id == run_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """An account before and after some rows, to be stored in one database transaction or not at all.

    `before` is None for an account that is opened by it.
    """

    before: Account | None
    after: Account
    rows: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest:
    """Reserve input and output tokens; at least the minimum of output, at most `open_holds_max` at once."""

    run_id: str
    user_id: str
    input_tokens: int
    output_tokens_min: int
    output_tokens_max: int
    open_holds_max: int

    @property
    def tokens_min(self) -> int:
        return self.input_tokens + self.output_tokens_min

    @property
    def tokens_max(self) -> int:
        return self.input_tokens + self.output_tokens_max

    def size(self, available: int) -> int | None:
        """Return how much to hold of what is available, or None if it cannot pay for the least."""
        size = min(self.tokens_max, available)
        return size if size >= self.tokens_min else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """An operator sets the balance, the grant, or both."""

    request_id: str
    user_id: str
    actor: str
    reason: str
    token_balance: int | None
    token_grant: int | None
    expected_balance: int | None


def post(
    account: Account,
    *,
    row_id: str,
    kind: TransactionKind,
    tokens: int,
    actor: str,
    reason: str,
    at: datetime,
    details: dict[str, Any] | None = None,
) -> tuple[Account, Transaction]:
    """Append one row. This is the only way in which a balance changes."""
    row = Transaction(
        id=row_id,
        user_id=account.user_id,
        company=account.profile.company,
        kind=kind,
        tokens=tokens,
        balance_before=account.balance,
        balance_after=account.balance + tokens,
        sequence=account.sequence + 1,
        actor=actor,
        reason=reason,
        at=at,
        details=details or {},
    )
    after = replace(
        account,
        balance=row.balance_after,
        available=account.available + tokens,
        sequence=row.sequence,
        refused_at=None if tokens > 0 else account.refused_at,
    )
    return after, row


def open_account(profile: Profile, terms: Terms, *, at: datetime, reason: str = "first balance") -> Posting:
    """Make an account with its first balance."""
    empty = Account(
        profile=profile,
        balance=0,
        held=0,
        available=0,
        token_grant=terms.token_grant,
        sequence=0,
        created_at=at,
        last_active_at=at,
    )
    after, row = post(
        empty,
        row_id=opening_id(profile.user_id),
        kind="opening",
        tokens=terms.token_balance,
        actor=LEDGER,
        reason=reason,
        at=at,
    )
    return Posting(before=None, after=after, rows=(row,))


def without_hold(account: Account, run_id: str) -> Account:
    """Give a hold back and close its run for further holds. An unknown hold gives nothing back."""
    hold = account.hold_of(run_id)
    tokens = hold.tokens if hold else 0
    closed = tuple(known for known in account.closed_run_ids if known != run_id)
    return replace(
        account,
        held=account.held - tokens,
        available=account.available + tokens,
        holds=tuple(other for other in account.holds if other.run_id != run_id),
        closed_run_ids=(*closed, run_id)[-CLOSED_RUNS_MAX:],
    )


def next_grant_at(account: Account, terms: Terms, *, now: datetime) -> datetime | None:
    """Return the earliest time at which the account, once depleted, is granted anew; never the past."""
    if account.token_grant <= 0:
        return None
    return max(now, (account.granted_at or account.created_at) + terms.grant_period)


def grant_if_due(account: Account, terms: Terms, *, now: datetime) -> Posting | None:
    """Add the grant to a depleted account, if its time has come.

    Depleted is a balance of nothing or less, or one that could not pay for a message while nothing was
    held. The grant is added, so that a debt stays paid by it.
    """
    depleted = account.balance <= 0 or (account.refused_at is not None and not account.holds)
    due_at = next_grant_at(account, terms, now=now)
    if not depleted or due_at is None or due_at > now:
        return None
    after, row = post(
        account,
        row_id=grant_id(account.user_id, account.sequence + 1),
        kind="grant",
        tokens=account.token_grant,
        actor=LEDGER,
        reason="the balance was used up",
        at=now,
    )
    return Posting(before=account, after=replace(after, granted_at=now), rows=(row,))


def adjust(account: Account, adjustment: Adjustment, *, at: datetime) -> Posting:
    """Set balance, grant, or both. A row of 0 tokens names a change of the grant alone.

    Raises Conflict when the balance is not the expected one, Malformed when nothing is to be set.
    """
    check_adjustment(adjustment)
    if adjustment.expected_balance is not None and adjustment.expected_balance != account.balance:
        raise Conflict("The balance changed in the meantime", token_balance=account.balance)
    balance = account.balance if adjustment.token_balance is None else adjustment.token_balance
    grant = account.token_grant if adjustment.token_grant is None else adjustment.token_grant
    after, row = post(
        account,
        row_id=adjustment_id(adjustment.request_id),
        kind="adjustment",
        tokens=balance - account.balance,
        actor=adjustment.actor,
        reason=adjustment.reason,
        at=at,
        details={
            "requested": requested(adjustment),
            "grant_before": account.token_grant,
            "grant_after": grant,
        },
    )
    return Posting(before=account, after=replace(after, token_grant=grant), rows=(row,))


def requested(adjustment: Adjustment) -> dict[str, Any]:
    """Write down what was asked for: the same request id with other content is refused."""
    return {
        "token_balance": adjustment.token_balance,
        "token_grant": adjustment.token_grant,
        "expected_balance": adjustment.expected_balance,
    }


def check_adjustment(adjustment: Adjustment) -> None:
    """Raise Malformed for what no account could take."""
    if adjustment.token_balance is None and adjustment.token_grant is None:
        raise Malformed("Neither a balance nor a grant is given")
    if not adjustment.actor.strip() or not adjustment.reason.strip():
        raise Malformed("An adjustment names its actor and its reason")
    if adjustment.token_grant is not None and not 0 <= adjustment.token_grant <= TOKENS_MAX:
        raise Malformed("The grant is out of range")
    if adjustment.token_balance is not None and abs(adjustment.token_balance) > TOKENS_MAX:
        raise Malformed("The balance is out of range")
