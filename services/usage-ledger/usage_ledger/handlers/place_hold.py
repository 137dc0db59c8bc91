"""`ledger.hold.place.v1`"""

from common.events.ledger import HoldReply, PlaceHoldV1
from usage_ledger.domain.account import HoldRequest
from usage_ledger.store.accounts import Accounts


class PlaceHold:
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def __call__(self, command: PlaceHoldV1) -> HoldReply:
        request = HoldRequest(
            run_id=command.run_id,
            user_id=command.user_id,
            input_tokens=command.input_tokens,
            output_tokens_min=command.output_tokens_min,
            output_tokens_max=command.output_tokens_max,
            open_holds_max=command.open_holds_max,
        )
        hold = await self._accounts.place_hold(request)
        return HoldReply(hold_tokens=hold.tokens)
