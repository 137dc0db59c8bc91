"""The stream of a user's balance."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import orjson
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from common.events.ledger import AccountView
from gateway.balances.listeners import Listener
from gateway.context import GatewayServices, Services
from gateway.policy import UserSession
from gateway.streaming.sse import COMMENT

router = APIRouter(tags=["account"])

_PING_EVERY_S = 15.0
_RETRY_MS = 2_000
_FIELDS = {"balance": 1, "held": 1, "available": 1, "token_grant": 1, "sequence": 1}


class BalanceStream(StreamingResponse):
    """`held` is released when the response ends, whichever way."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], *, held: AsyncExitStack) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


@router.get("/chat/account/events", status_code=200, response_class=BalanceStream)
async def balance_events(session: UserSession, services: GatewayServices) -> BalanceStream:
    """The user's tokens now and whenever they change, by whatever: events `balance`, until the page leaves.

    `{user_id, token_balance, token_sequence, token_held, token_available, token_grant}`; `token_sequence`
    orders those of a user among each other, and with what `GET /chat/account` answers. As many as the user
    may have streams of runs.
    """
    async with AsyncExitStack() as held:
        await held.enter_async_context(services.limits.open_balance(session.user_id))
        listener = held.enter_context(services.balances.listen(session.user_id))
        return BalanceStream(_events(services, listener), held=held.pop_all())


async def _events(services: Services, listener: Listener) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % _RETRY_MS
    # Read after listening has begun: what changes in between is heard.
    stored = await services.db["accounts"].find_one({"_id": listener.user_id}, _FIELDS)
    if stored is not None:
        listener.tell(_view(stored))
    while not listener.is_closed:
        account = await listener.next(within_s=_PING_EVERY_S)
        yield _event(account) if account else COMMENT


def _view(stored: Mapping[str, Any]) -> AccountView:
    return AccountView(
        user_id=stored["_id"],
        token_balance=stored["balance"],
        token_held=stored["held"],
        token_available=stored["available"],
        token_grant=stored["token_grant"],
        sequence=stored["sequence"],
    )


def _event(account: AccountView) -> bytes:
    shown = {
        "user_id": account.user_id,
        "token_balance": account.token_balance,
        "token_sequence": account.sequence,
        "token_held": account.token_held,
        "token_available": account.token_available,
        "token_grant": account.token_grant,
    }
    return b"event: balance\ndata: %b\n\n" % orjson.dumps(shown)
