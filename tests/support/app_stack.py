"""The whole product with the built app in front, for tests that drive it from outside: in a browser."""

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from common.settings import DEVELOPMENT_SECRET
from support.fresh import fresh_places
from support.pipedrive import INTEGRATION, INTEGRATION_ENV, add_sync, simulated_pipedrive
from support.servers import Servers
from support.stack import Stack, running_stack

APP = Path(__file__).parents[2] / "app"
BUILT_APP = APP / "dist"
LOGIN_URL = "http://login.test/sign-in"
MORE_TOKENS_URL = "http://shop.test/tokens"

_AWAY_S = 1.0


@asynccontextmanager
async def app_on_stack(servers: Servers, management: httpx.AsyncClient) -> AsyncGenerator[str]:
    """Run everything; yields, as JSON, what a browser test has to know of it."""
    async with (
        fresh_places(servers, management) as places,
        simulated_pipedrive() as pipedrive,
        running_stack(
            **places,
            env={
                **INTEGRATION_ENV,
                "APP_DIR": str(BUILT_APP),
                "LOGIN_URL": LOGIN_URL,
                "INT_URL": MORE_TOKENS_URL,
                "AMQP_MANAGEMENT_URL": servers.management_url,
                # A day between two grants: who has used all up is told when the next one comes.
                "TOKEN_GRANT_PERIOD": "P1D",
            },
        ) as stack,
    ):
        await add_sync(stack, pipedrive, PIPEDRIVE_WRITE_EVERY_S="1")
        async with _gateway_switch(stack) as switch_url:
            yield json.dumps(
                {
                    "origin": stack.gateways[0].url,
                    "restartGatewayUrl": switch_url,
                    "sharedSecret": DEVELOPMENT_SECRET,
                    "integration": ":".join(INTEGRATION),
                    "managementUrl": servers.management_url,
                    "vhost": places["amqp_url"].rpartition("/")[2],
                    "loginUrl": LOGIN_URL,
                    "moreTokensUrl": MORE_TOKENS_URL,
                }
            )


@asynccontextmanager
async def _gateway_switch(stack: Stack) -> AsyncGenerator[str]:
    """Listen for the wish to lose the gateway: any request kills it, and is answered when it is back."""
    (gateway,) = stack.gateways

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        gateway.program.send(signal.SIGKILL)
        await gateway.program.ended()
        await asyncio.sleep(_AWAY_S)
        await gateway.restart()
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
