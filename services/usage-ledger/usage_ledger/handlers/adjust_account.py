"""`ledger.account.adjust.v1`"""

from common.clock import Clock
from common.events.ledger import AccountReply, AdjustAccountV1
from usage_ledger.domain.account import Adjustment, Terms
from usage_ledger.domain.view import view_of
from usage_ledger.store.accounts import Accounts


class AdjustAccount:
    def __init__(self, accounts: Accounts, clock: Clock, terms: Terms) -> None:
        self._accounts = accounts
        self._clock = clock
        self._terms = terms

    async def __call__(self, command: AdjustAccountV1) -> AccountReply:
        adjustment = Adjustment(
            request_id=command.request_id,
            user_id=command.user_id,
            actor=command.actor,
            reason=command.reason,
            token_balance=command.token_balance,
            token_grant=command.token_grant,
            expected_balance=command.expected_balance,
        )
        account = await self._accounts.adjust(adjustment)
        return AccountReply(account=view_of(account, self._terms, now=self._clock.now()))
