"""`ledger.account.open.v1`"""

from common.clock import Clock
from common.events.ledger import AccountReply, OpenAccountV1
from usage_ledger.domain.account import Profile, Terms
from usage_ledger.domain.view import view_of
from usage_ledger.store.accounts import Accounts


class OpenAccount:
    def __init__(self, accounts: Accounts, clock: Clock, terms: Terms) -> None:
        self._accounts = accounts
        self._clock = clock
        self._terms = terms

    async def __call__(self, command: OpenAccountV1) -> AccountReply:
        profile = Profile(
            user_id=command.user_id, name=command.user_name, email=command.email, company=command.company
        )
        account = await self._accounts.open(profile)
        return AccountReply(account=view_of(account, self._terms, now=self._clock.now()))
