"""What the conditional write of a hold does to an account, for tests without a database."""

from dataclasses import replace

from usage_ledger.domain.account import Account, Hold


def with_hold(account: Account, hold: Hold) -> Account:
    """Reserve, without asking whether there is enough."""
    return replace(
        account,
        held=account.held + hold.tokens,
        available=account.available - hold.tokens,
        holds=(*account.holds, hold),
    )
