"""Cuts a client that does not read, so that it holds neither a stream nor memory. Its run goes on."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ABORT = "gateway.abort"
"""Key of the scope under which the server's protocol offers to drop the connection with what is unsent."""


class SlowReader(Exception):
    """The client took nothing for the whole timeout."""


class SendTimeout:
    """Bounds every single send by `timeout_s`."""

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await send(message)
            except TimeoutError:
                if ABORT in scope:
                    scope[ABORT]()
                raise SlowReader from None

        await self._app(scope, receive, send_in_time)
