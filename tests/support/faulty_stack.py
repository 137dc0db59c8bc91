"""The whole product on servers of its own, with a proxy in every link and a hand on every process."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import aio_pika
import httpx
import pytest
from aio_pika.exceptions import ChannelNotFoundEntity
from pamqp.commands import Queue

from common.amqp import topology
from embedded.servers.executable import executable
from support.chat_client import ChatClient
from support.fresh import fresh_places
from support.processes import Program
from support.proxy import Proxy, running_proxy
from support.servers import Kind, PrivateServers
from support.sim import sim
from support.stack import Part, Stack, running_stack

Link = Literal["db", "amqp", "redis", "provider"]
LINKS: tuple[Link, ...] = ("db", "amqp", "redis", "provider")

_SETTING: dict[Link, str] = {
    "db": "DB_URL",
    "amqp": "AMQP_URL",
    "redis": "REDIS_URL",
    "provider": "OAI_BASE_URL",
}
_RABBITMQCTL_WITHIN_S = 60
REFUSED_WITHIN_S = 5.0 + 2.0
"""What users may rely on, and what this client itself may take on a busy machine."""


@dataclass(slots=True, kw_only=True)
class FaultyStack(Stack):
    """A stack whose services reach each server through a proxy of their own."""

    servers: PrivateServers
    management: httpx.AsyncClient
    links: dict[int, dict[Link, Proxy]] = field(default_factory=dict[int, dict[Link, Proxy]])
    proxies: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def add(self, module: str, **env: str) -> Part:
        links: dict[Link, Proxy] = {
            link: await self.proxies.enter_async_context(running_proxy(self.env[_SETTING[link]]))
            for link in LINKS
        }
        urls = {_SETTING[link]: proxy.url(self.env[_SETTING[link]]) for link, proxy in links.items()}
        part = await Stack.add(self, module, **urls, **env)
        self.links[part.port] = links
        return part

    def link(self, part: Part, link: Link) -> Proxy:
        return self.links[part.port][link]

    def links_to(self, link: Link) -> list[Proxy]:
        return [links[link] for links in self.links.values()]

    def heal(self) -> None:
        for links in self.links.values():
            for proxy in links.values():
                proxy.heal()

    @contextmanager
    def away(self, *proxies: Proxy) -> Generator[None]:
        """Cut links and keep them down for the length of a block."""
        for proxy in proxies:
            proxy.go_away()
        try:
            yield
        finally:
            for proxy in proxies:
                proxy.heal()

    async def until_ready(self) -> None:
        await asyncio.gather(*(part.until_ready() for part in self.parts))

    async def settled(self, *, within_s: float = 60.0) -> None:
        """What every fault must end with: all is drained within a minute, and the audit is clean."""
        await self.drained(within_s=within_s)
        await self.audit()

    async def wrong(self, part: Part) -> list[str]:
        """Ask for readiness; return what is wrong, nothing when it is ready."""
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.get(f"{part.url}/health/ready")
        return [] if answer.status_code == 200 else answer.json()["wrong"]

    async def is_alive(self, part: Part) -> bool:
        async with httpx.AsyncClient(timeout=30) as http:
            return (await http.get(f"{part.url}/health/live")).status_code == 200

    async def depth(self, queue_name: str) -> int:
        """Count the messages that are ready in a queue."""
        return (await self._declared(queue_name)).message_count or 0

    async def consumers(self, queue_name: str) -> int:
        """Count who takes from a queue; nobody takes from one that does not exist."""
        try:
            return (await self._declared(queue_name)).consumer_count or 0
        except ChannelNotFoundEntity:
            return 0

    async def _declared(self, queue_name: str) -> Queue.DeclareOk:
        async with await aio_pika.connect(self.env["AMQP_URL"]) as connection:
            channel = await connection.channel()
            return (await channel.declare_queue(queue_name, passive=True)).declaration_result

    async def dead_letters(self) -> int:
        return sum([await self.depth(queue.dead) for queue in topology.DURABLE if queue.has_dead_letters])

    async def kill_server(self, kind: Kind, number: signal.Signals = signal.SIGKILL) -> None:
        """End a server, which comes back by itself. Return once it is away."""
        await self.servers.end(kind, number)

    @asynccontextmanager
    async def frozen_server(self, kind: Kind) -> AsyncGenerator[None]:
        """Stop a server's process for the length of a block: it accepts connections and answers nothing."""
        pid = await self.servers.pid(kind)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def rabbitmqctl(self, *arguments: str) -> str:
        """Run an operator's command against this stack's own node."""
        program = self.servers.parts["amqp"].program
        process = await asyncio.create_subprocess_exec(
            executable("rabbitmqctl", package="rabbitmq-server"),
            *arguments,
            env=dict(program.env),
            cwd=program.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_RABBITMQCTL_WITHIN_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    @asynccontextmanager
    async def memory_alarm(self) -> AsyncGenerator[None]:
        """Have the broker believe that it is out of memory: it blocks whoever publishes."""
        await self.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1")
        try:
            yield
        finally:
            await self.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1GB")

    @asynccontextmanager
    async def disk_alarm(self) -> AsyncGenerator[None]:
        """Have the broker find its disk too full: it blocks whoever publishes."""
        await self.rabbitmqctl("set_disk_free_limit", "9000GB")
        try:
            yield
        finally:
            await self.rabbitmqctl("set_disk_free_limit", "50MB")

    @property
    def vhost(self) -> str:
        return urlsplit(self.env["AMQP_URL"]).path.lstrip("/")


async def refusal(user: ChatClient, thread_id: str) -> str:
    """Send a message that cannot be taken; return the code of the refusal, which must come in time."""
    async with asyncio.timeout(REFUSED_WITHIN_S):
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await user.ask(thread_id, sim(reply_tokens=5))
    answer = refused.value.response
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "retry-after" in answer.headers
    return answer.json()["code"]


@contextmanager
def frozen(*programs: Program) -> Generator[None]:
    """Stop processes for the length of a block, as a machine that is out of memory or CPU does."""
    for program in programs:
        program.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for program in programs:
            program.send(signal.SIGCONT)


@asynccontextmanager
async def running_faulty_stack(
    servers: PrivateServers,
    management: httpx.AsyncClient,
    *,
    gateways: int = 1,
    workers: int = 1,
    ledgers: int = 1,
    env: Mapping[str, str] | None = None,
) -> AsyncGenerator[FaultyStack]:
    """Run the product with a proxy in every link for the length of a block."""
    counts = {"usage_ledger": ledgers, "chat_worker": workers, "gateway": gateways}
    async with (
        fresh_places(servers, management) as places,
        running_stack(**places, gateways=0, workers=0, ledgers=0, env=env) as bare,
    ):
        stack = FaultyStack(**_fields(bare), servers=servers, management=management)
        async with stack.proxies:
            try:
                for module, count in counts.items():
                    for _ in range(count):
                        await stack.add(module)
                await stack.until_ready()
                yield stack
            finally:
                stack.heal()
                await asyncio.gather(*(part.program.close() for part in stack.parts), return_exceptions=True)


def _fields(stack: Stack) -> dict[str, Any]:
    return {name: getattr(stack, name) for name in Stack.__dataclass_fields__}
