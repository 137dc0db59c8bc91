"""`ledger.hold.release.v1`"""

from common.clock import Clock
from common.events.ledger import AccountReply, ReleaseHoldV1
from usage_ledger.domain.account import Terms
from usage_ledger.domain.view import view_of
from usage_ledger.store.accounts import Accounts


class ReleaseHold:
    def __init__(self, accounts: Accounts, clock: Clock, terms: Terms) -> None:
        self._accounts = accounts
        self._clock = clock
        self._terms = terms

    async def __call__(self, command: ReleaseHoldV1) -> AccountReply:
        account = await self._accounts.release_hold(run_id=command.run_id, user_id=command.user_id)
        return AccountReply(account=view_of(account, self._terms, now=self._clock.now()))
