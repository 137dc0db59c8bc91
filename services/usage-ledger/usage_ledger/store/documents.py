"""How accounts and rows are stored, and how a change of an account becomes one conditional update."""

from dataclasses import asdict
from typing import Any

from common.account_search import search_words, sort_name
from common.events.envelope import Company, TokenUsage
from common.mongo.client import Document
from usage_ledger.domain.account import CLOSED_RUNS_MAX, Account, Hold, Profile
from usage_ledger.domain.recovery import RunRecord
from usage_ledger.domain.settlement import Settled
from usage_ledger.domain.transaction import Transaction

_QUOTA_FIELDS = ("quota", "quota_at", "quota_event")
_ROW_FIELDS = (
    "user_id",
    "kind",
    "tokens",
    "balance_before",
    "balance_after",
    "sequence",
    "actor",
    "reason",
    "at",
)
RUN_FIELDS = (
    "thread_id",
    "user_id",
    "company",
    "state",
    "lease_until",
    "usage",
    "usage_source",
    "input_tokens_estimate",
    "text",
    "model",
    "assistant",
    "finished_at",
    "fence",
)


def account_document(account: Account) -> Document:
    """Write a document of `accounts`; `_id` is the user id."""
    return {
        "_id": account.user_id,
        **profile_fields(account.profile),
        "balance": account.balance,
        "held": account.held,
        "available": account.available,
        "token_grant": account.token_grant,
        "quota": account.quota,
        "quota_at": account.quota_at,
        "quota_event": account.quota_event,
        "sequence": account.sequence,
        "holds": [asdict(hold) for hold in account.holds],
        "closed_run_ids": list(account.closed_run_ids),
        "granted_at": account.granted_at,
        "refused_at": account.refused_at,
        "created_at": account.created_at,
        "last_active_at": account.last_active_at,
    }


def account_of(document: Document) -> Account:
    return Account(
        profile=Profile(
            user_id=document["_id"],
            name=document["name"],
            email=document["email"],
            company=company_of(document["company"]),
        ),
        balance=document["balance"],
        held=document["held"],
        available=document["available"],
        token_grant=document["token_grant"],
        quota=document["quota"],
        quota_at=document.get("quota_at"),
        quota_event=document.get("quota_event"),
        sequence=document["sequence"],
        holds=holds_of(document),
        closed_run_ids=tuple(document["closed_run_ids"]),
        granted_at=document["granted_at"],
        refused_at=document["refused_at"],
        created_at=document["created_at"],
        last_active_at=document["last_active_at"],
    )


def holds_of(document: Document) -> tuple[Hold, ...]:
    """Read the holds of an account."""
    return tuple(Hold(**hold) for hold in document["holds"])


def profile_fields(profile: Profile) -> Document:
    """Write who the user is; `search` and `sort_name` are for lists of users, see `common.account_search`."""
    company = profile.company
    words = (profile.user_id, profile.name, profile.email)
    return {
        "name": profile.name,
        "email": profile.email,
        "email_key": profile.email.strip().lower() if profile.email else None,
        "company": company_document(company),
        "search": search_words(*words, *((company.id, company.name) if company else ())),
        "sort_name": sort_name(profile.name or profile.email or profile.user_id),
    }


def company_document(company: Company | None) -> Document | None:
    return company.model_dump() if company else None


def company_of(document: Document | None) -> Company | None:
    return Company.model_validate(document) if document else None


def row_document(row: Transaction) -> Document:
    """Write a document of `transactions`; the details of its kind stand beside the common fields."""
    return {
        "_id": row.id,
        "company": company_document(row.company),
        **{name: getattr(row, name) for name in _ROW_FIELDS},
        **row.details,
    }


def row_of(document: Document) -> Transaction:
    details = document.keys() - {"_id", "company", *_ROW_FIELDS}
    return Transaction(
        id=document["_id"],
        company=company_of(document["company"]),
        **{name: document[name] for name in _ROW_FIELDS},
        details={name: document[name] for name in details},
    )


def settled_of(row: Document, *, corrected: bool) -> Settled:
    return Settled(
        usage=TokenUsage.model_validate(row["usage"]),
        estimated=row["estimated"],
        provisional=row["provisional"],
        corrected=corrected,
    )


def run_of(document: Document) -> RunRecord:
    """Read what the ledger needs of a document of `runs`, see RUN_FIELDS."""
    usage = document.get("usage")
    return RunRecord(
        run_id=document["_id"],
        thread_id=document["thread_id"],
        user_id=document["user_id"],
        company=company_of(document.get("company")),
        state=document["state"],
        lease_until=document.get("lease_until"),
        usage=TokenUsage.model_validate(usage) if usage else None,
        usage_source=document.get("usage_source"),
        input_tokens_estimate=document["input_tokens_estimate"],
        text=document.get("text") or "",
        model=document.get("model") or "",
        assistant=document.get("assistant") or "",
        finished_at=document.get("finished_at"),
        fence=document["fence"],
    )


def update_of(before: Account, after: Account) -> tuple[Document, Document]:
    """Return the condition and the update that take a stored account from `before` to `after`.

    Amounts are added, never set, and holds of other runs are left alone, so that a hold placed in
    between does not disturb. What must not have changed is in the condition: the rows (`sequence`), and
    whether the runs that are being closed have a hold.
    """
    stays = {hold.run_id for hold in after.holds}
    released = [hold.run_id for hold in before.holds if hold.run_id not in stays]
    closed = [run_id for run_id in after.closed_run_ids if run_id not in before.closed_run_ids]
    without_hold = [run_id for run_id in closed if run_id not in released]
    condition: Document = {"_id": before.user_id, "sequence": before.sequence}
    update: dict[str, Any] = {}
    if released:
        condition["holds"] = {"$all": [{"$elemMatch": {"run_id": run_id}} for run_id in released]}
        update["$pull"] = {"holds": {"run_id": {"$in": released}}}
    if without_hold:
        condition["holds.run_id"] = {"$nin": without_hold}
    if closed:
        update["$push"] = {"closed_run_ids": {"$each": closed, "$slice": -CLOSED_RUNS_MAX}}
    if added := _difference(before, after, ("balance", "held", "available", "sequence")):
        update["$inc"] = added
    changed = {
        name: getattr(after, name)
        for name in ("token_grant", "granted_at", *_QUOTA_FIELDS)
        if getattr(after, name) != getattr(before, name)
    }
    if changed.keys() & set(_QUOTA_FIELDS):
        # A newer version of the same quota has no row, so the sequence alone would not tell.
        condition |= {name: getattr(before, name) for name in _QUOTA_FIELDS}
    if after.balance > before.balance:
        # Also when it was not refused at the time of the read: a refusal in between is paid for now.
        changed["refused_at"] = None
    if changed:
        update["$set"] = changed
    return condition, update


def _difference(before: Account, after: Account, names: tuple[str, ...]) -> dict[str, int]:
    return {name: added for name in names if (added := getattr(after, name) - getattr(before, name))}
