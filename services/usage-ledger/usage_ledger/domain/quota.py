"""A quota: what a user may use, set from outside (the CRM), absolutely.

The balance moves by the difference to the quota before, so what was used stays used, and it does not
matter how often or in which order the same settings arrive: only the newest one is in force.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from common.errors import Malformed
from common.events.ledger import QuotaStatus
from usage_ledger.domain.account import TOKENS_MAX, Account, Posting, Profile, Terms, open_account, post
from usage_ledger.domain.transaction import quota_id


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSetting:
    """`effective_at` and then `source_event` say which of two settings is newer."""

    profile: Profile
    quota: int
    effective_at: datetime
    source_event: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaOutcome:
    """`posting` is None when nothing is to be stored; without rows it only notes the newer setting."""

    status: QuotaStatus
    account: Account
    posting: Posting | None


def set_quota(account: Account, setting: QuotaSetting, *, opening_tokens: int, at: datetime) -> QuotaOutcome:
    """Bring a quota into force, unless a newer one is.

    `opening_tokens` is what the account was opened with: that stood for a quota as long as there was none.
    """
    check_setting(setting)
    in_force = (account.quota_at, account.quota_event)
    if account.quota_at is not None and account.quota_event is not None:
        known, said = (account.quota_at, account.quota_event), (setting.effective_at, setting.source_event)
        if said <= known:
            status: QuotaStatus = "unchanged" if said == in_force else "stale"
            return QuotaOutcome(status=status, account=account, posting=None)
    noted = replace(
        account,
        quota=setting.quota,
        quota_at=setting.effective_at,
        quota_event=setting.source_event,
    )
    if account.quota == setting.quota:
        posting = Posting(before=account, after=noted, rows=())
        return QuotaOutcome(status="unchanged", account=noted, posting=posting)
    before = opening_tokens if account.quota is None else account.quota
    after, row = post(
        noted,
        row_id=quota_id(account.user_id, setting.source_event),
        kind="quota",
        tokens=setting.quota - before,
        actor=setting.actor,
        reason=setting.reason,
        at=at,
        details={
            "quota_before": account.quota,
            "quota_after": setting.quota,
            "grant_before": account.token_grant,
            "grant_after": setting.quota,
            "effective_at": setting.effective_at,
            "source_event": setting.source_event,
        },
    )
    after = replace(after, token_grant=setting.quota)
    return QuotaOutcome(
        status="applied", account=after, posting=Posting(before=account, after=after, rows=(row,))
    )


def open_with_quota(setting: QuotaSetting, terms: Terms, *, at: datetime) -> QuotaOutcome:
    """Make an account that starts with a quota instead of the first balance that others get."""
    check_setting(setting)
    nothing = replace(terms, token_balance=0)
    opened = open_account(setting.profile, nothing, at=at, reason="opened for a quota")
    outcome = set_quota(opened.after, setting, opening_tokens=0, at=at)
    assert outcome.posting is not None
    rows = (*opened.rows, *outcome.posting.rows)
    posting = Posting(before=None, after=outcome.account, rows=rows)
    return QuotaOutcome(status="applied", account=outcome.account, posting=posting)


def check_setting(setting: QuotaSetting) -> None:
    """Raise Malformed for what no account could take."""
    if not 0 <= setting.quota <= TOKENS_MAX:
        raise Malformed("The quota is out of range")
    if not setting.actor.strip() or not setting.reason.strip() or not setting.source_event.strip():
        raise Malformed("A quota names its actor, its reason and its source event")
    if setting.effective_at.tzinfo is None:
        raise Malformed("The time of a quota has a zone")
