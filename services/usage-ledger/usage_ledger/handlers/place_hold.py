"""`ledger.hold.place.v1`"""

from common.amqp.delivery import Delivery
from common.clock import Clock
from common.events.ledger import HoldReply, PlaceHoldV1
from usage_ledger.domain.account import HoldRequest, Terms
from usage_ledger.domain.view import view_of
from usage_ledger.store.accounts import Accounts


class PlaceHold:
    def __init__(self, accounts: Accounts, clock: Clock, terms: Terms) -> None:
        self._accounts = accounts
        self._clock = clock
        self._terms = terms

    async def __call__(self, command: PlaceHoldV1, _delivery: Delivery) -> HoldReply:
        request = HoldRequest(
            run_id=command.run_id,
            user_id=command.user_id,
            input_tokens=command.input_tokens,
            output_tokens_min=command.output_tokens_min,
            output_tokens_max=command.output_tokens_max,
            open_holds_max=command.open_holds_max,
        )
        hold, account = await self._accounts.place_hold(request)
        view = view_of(account, self._terms, now=self._clock.now())
        return HoldReply(hold_tokens=hold.tokens, account=view)
