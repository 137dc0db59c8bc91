"""What to do about a notification, given what is in force."""

from dataclasses import dataclass
from typing import Literal

from pipedrive_sync.domain.notice import Cleared, Quota, QuotaNotice, Unusable, Version, Wanted

OnCleared = Literal["keep", "default", "suspend"]
"""What an emptied field means: nothing, the default quota, or a quota of 0."""

OnDeleted = Literal["keep", "suspend"]
"""What the deletion of a person means for the quota: nothing, or 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`confirm_factor`: a raise to more than so many times the quota in force is read in Pipedrive first.

    `can_ask` is False when there is no token for Pipedrive's API.
    """

    on_cleared: OnCleared
    default_quota: int
    confirm_factor: float
    can_ask: bool
    on_deleted: OnDeleted = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The quota that the ledger has; both are None for a user without one."""

    quota: int | None = None
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class Apply:
    tokens: int


@dataclass(frozen=True, slots=True)
class Confirm:
    """Read the person in Pipedrive and decide again by that."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Something newer is in force. `differs` tells that it also says something else."""

    differs: bool


@dataclass(frozen=True, slots=True)
class Keep:
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A person must look at it."""

    why: str


Decision = Apply | Confirm | Stale | Keep | Wait


def decide(notice: QuotaNotice, in_force: InForce, policy: Policy) -> Decision:
    """Decide. The order of arrival never matters: only versions do."""
    tokens = tokens_of(notice.wanted, policy)
    if in_force.version is not None and notice.version.place <= in_force.version.place:
        return Stale(differs=tokens is not None and tokens != in_force.quota)
    if isinstance(notice.wanted, Unusable):
        return Wait(notice.wanted.problem)
    if isinstance(notice.wanted, Cleared) and in_force.quota is None:
        return Keep("the field is empty, and there was never a quota")
    if tokens is None:
        return Keep("the field was cleared, and a cleared field changes nothing")
    if needs_confirmation(notice, tokens, in_force, policy):
        return Confirm()
    return Apply(tokens)


def tokens_of(wanted: Wanted, policy: Policy) -> int | None:
    """Return the quota that a value means, None if it means none."""
    match wanted:
        case Quota(tokens=tokens):
            return tokens
        case Cleared():
            return {"keep": None, "default": policy.default_quota, "suspend": 0}[policy.on_cleared]
        case Unusable():
            return None


def needs_confirmation(notice: QuotaNotice, tokens: int, in_force: InForce, policy: Policy) -> bool:
    """Tell whether a raise is so large that the word of a webhook, which nobody signs, is not enough."""
    if notice.is_believed or not policy.can_ask or notice.subject.person_id is None:
        return False
    return tokens > policy.confirm_factor * (in_force.quota or 0)
