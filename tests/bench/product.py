"""The product as it is measured: real processes, users who are signed in, and the simulator's pace."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.figures import listeners
from bench.raw_http import RawConnection, Reading, Request, post
from common.ids import new_id
from support.pipedrive import INTEGRATION_ENV
from support.stack import Stack, running_stack

MODEL = "sim-1"
TOKENS_PER_S = 50.0
"""Of one stream: what a large hosted model gives."""

ENV = {
    "OAI_ASSISTANT": "bench",
    "ASSISTANTS_DIR": str(Path(__file__).parent / "assistants"),
    "TOKEN_BALANCE": "1000000000",
    "RUNS_MAX": "200",
    # A user asks again at once, and a hold stands until its run is settled.
    "RUNS_PER_USER": "50",
    # As they are by default; the tests shorten them.
    "LEASE_S": "15",
    "RECOVERY_EVERY_S": "10",
    "SWEEP_EVERY_S": "10",
    **INTEGRATION_ENV,
}
_THREADS = 10
"""Of each user, in turn: a conversation has a few messages, not hundreds."""

_USERS_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class User:
    token: str
    thread_ids: tuple[str, ...]


class Product:
    """The running product beside the provider that it asks."""

    def __init__(self, stack: Stack, server_urls: Mapping[str, str]) -> None:
        self.stack = stack
        self._server_urls = server_urls
        self._gateway_url = stack.gateways[0].url
        self._users: list[User] = []

    async def simulate(self, **behaviour: Any) -> None:
        """Say how the provider answers from now on."""
        async with httpx.AsyncClient(base_url=self.stack.simulator_url) as http:
            (await http.post("/_sim/reset")).raise_for_status()
        await self.stack.script(times=None, **behaviour)

    async def have_users(self, count: int) -> None:
        at_once = asyncio.Semaphore(_USERS_AT_ONCE)

        async def make() -> User:
            async with at_once:
                client = self.stack.client(new_id("q"))
                await client.open()
                thread_ids = await asyncio.gather(*(client.new_thread() for _ in range(_THREADS)))
                return User(client.token, tuple(thread_ids))

        self._users += await asyncio.gather(*(make() for _ in range(count - len(self._users))))

    @asynccontextmanager
    async def readers(self, count: int, *, direct: bool) -> AsyncGenerator["Readers"]:
        """Open so many connections, to the provider itself or to the gateway."""
        await self.have_users(count)
        url = self.stack.simulator_url if direct else self._gateway_url
        connections = [await RawConnection.open(url) for _ in range(count)]
        requests = [
            [self._to_provider()] if direct else self._to_gateway(user) for user in self._users[:count]
        ]
        try:
            yield Readers(connections, requests)
        finally:
            for connection in connections:
                connection.close()

    def pids(self) -> dict[str, list[int]]:
        """Name the processes of the product, and those of the servers as far as they are on this machine."""
        stack = self.stack
        parts = {"gateway": stack.gateways, "chat-worker": stack.workers, "usage-ledger": stack.ledgers}
        own = {name: [part.program.pid for part in some] for name, some in parts.items()}
        return own | {kind: listeners(url) for kind, url in self._server_urls.items()}

    def _to_provider(self) -> Request:
        return post(
            f"{self.stack.simulator_url}/v1/responses",
            {"model": MODEL, "input": "hello", "stream": True},
            token="k",
            first=b"event: response.output_text.delta",
            last=b"event: response.completed",
        )

    def _to_gateway(self, user: User) -> list[Request]:
        return [
            post(
                f"{self._gateway_url}/chat/messages",
                {"thread_id": thread_id, "text": "hello"},
                token=user.token,
                first=b"event: delta",
                last=b'event: done\ndata: {"status":"completed"}',
            )
            for thread_id in user.thread_ids
        ]


class Readers:
    """Connections by number, each with the requests that it sends in turn."""

    def __init__(self, connections: list[RawConnection], requests: list[list[Request]]) -> None:
        self._connections = connections
        self._requests = [itertools.cycle(own) for own in requests]

    async def read(self, number: int) -> Reading:
        return await self._connections[number].read(next(self._requests[number]))


@asynccontextmanager
async def running_product(server_urls: Mapping[str, str]) -> AsyncGenerator[Product]:
    async with running_stack(
        db_url=server_urls["db"], amqp_url=server_urls["amqp"], redis_url=server_urls["redis"], env=ENV
    ) as stack:
        yield Product(stack, server_urls)
