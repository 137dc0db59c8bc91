"""What others may see of an account, and the event that tells them."""

from datetime import datetime

from common.events.ledger import AccountView, BalanceChangedV1
from usage_ledger.domain.account import Account, Posting, Terms, next_grant_at


def view_of(account: Account, terms: Terms, *, now: datetime) -> AccountView:
    return AccountView(
        user_id=account.user_id,
        token_balance=account.balance,
        token_held=account.held,
        token_available=account.available,
        token_grant=account.token_grant,
        sequence=account.sequence,
        next_grant_at=next_grant_at(account, terms, now=now),
    )


def balance_changed(posting: Posting, terms: Terms, *, event_id: str, now: datetime) -> BalanceChangedV1:
    """Tell the state after the last of the posting's rows; there is one event for all of them."""
    last = posting.rows[-1]
    return BalanceChangedV1(
        event_id=event_id,
        occurred_at=now,
        account=view_of(posting.after, terms, now=now),
        company=posting.after.profile.company,
        cause=last.kind,
        run_id=last.details.get("run_id"),
    )
