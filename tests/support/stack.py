"""The whole product as real processes on the test's servers, with the provider simulator as the model."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from common.mongo import client as mongo
from common.mongo.client import Database
from support.chat_client import ChatClient
from support.processes import Program, free_port, python

ASSISTANTS = Path(__file__).parent / "assistants"
DRAINED_WITHIN_S = 60.0
READY_WITHIN_S = 90.0

_LOOK_EVERY_S = 0.1


@dataclass(slots=True, kw_only=True)
class Part:
    """One process of the product, with what is needed to start it anew."""

    module: str
    port: int
    env: dict[str, str]
    program: Program

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until_ready(self) -> None:
        async with httpx.AsyncClient(timeout=5) as http:
            deadline_s = asyncio.get_running_loop().time() + READY_WITHIN_S
            said = "nothing"
            while True:
                try:
                    answer = await http.get(f"{self.url}/health/ready")
                    if answer.status_code == 200:
                        return
                    said = answer.text
                except httpx.TransportError:
                    pass
                if not self.program.is_alive or asyncio.get_running_loop().time() > deadline_s:
                    lives = "lives" if self.program.is_alive else "has ended"
                    wrote = self.program.output()[-4000:]
                    raise AssertionError(f"{self.module} {lives}, not ready: {said}; it wrote:\n{wrote}")
                await asyncio.sleep(_LOOK_EVERY_S)

    async def restart(self, **env: str) -> None:
        """Start it again on the same port, after it has ended or by ending it."""
        await self.program.close()
        self.env |= env
        self.program = Program(self.module, python(self.module), env=self.env)
        await self.until_ready()


@dataclass(slots=True, kw_only=True)
class Stack:
    """All that a test needs to drive the product and to look into it."""

    env: dict[str, str]
    db: Database
    simulator_url: str
    simulator: Program
    parts: list[Part] = field(default_factory=list[Part])
    clients: list[ChatClient] = field(default_factory=list[ChatClient])

    def of(self, module: str) -> list[Part]:
        return [part for part in self.parts if part.module == module]

    @property
    def gateways(self) -> list[Part]:
        return self.of("gateway")

    @property
    def workers(self) -> list[Part]:
        return self.of("chat_worker")

    @property
    def ledgers(self) -> list[Part]:
        return self.of("usage_ledger")

    async def add(self, module: str, **env: str) -> Part:
        port = free_port()
        own = self.env | {"PORT" if module == "gateway" else "HEALTH_PORT": str(port)} | env
        part = Part(module=module, port=port, env=own, program=Program(module, python(module), env=own))
        self.parts.append(part)
        return part

    def client(self, user_id: str, *, gateway: int = 0, **claims: Any) -> ChatClient:
        client = ChatClient(self.gateways[gateway].url, user_id, **claims)
        self.clients.append(client)
        return client

    async def script(self, **behaviour: Any) -> None:
        """Tell the simulator how to answer the next requests."""
        async with httpx.AsyncClient(base_url=self.simulator_url, timeout=30) as http:
            (await http.post("/_sim/script", json={"behaviours": [behaviour]})).raise_for_status()

    async def journal(self) -> list[dict[str, Any]]:
        """What the simulator did and would bill, one entry a response."""
        async with httpx.AsyncClient(base_url=self.simulator_url, timeout=30) as http:
            return (await http.get("/_sim/journal")).json()["responses"]

    async def account(self, user_id: str) -> dict[str, Any]:
        account = await self.db["accounts"].find_one({"_id": user_id})
        assert account is not None
        return account

    async def usage_rows(self, **match: Any) -> list[dict[str, Any]]:
        return await self.db["transactions"].find({"kind": "usage", **match}).to_list(None)

    async def metric(self, part: Part, name: str, **labels: str) -> float:
        """Add up the samples of a metric that have these labels."""
        async with httpx.AsyncClient(timeout=30) as http:
            text = (await http.get(f"{part.url}/metrics")).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def until(
        self, condition: Callable[[], Awaitable[bool]], *, within_s: float = DRAINED_WITHIN_S
    ) -> None:
        async with asyncio.timeout(within_s):
            while not await condition():
                await asyncio.sleep(_LOOK_EVERY_S)

    async def drained(self, *, within_s: float = DRAINED_WITHIN_S) -> None:
        """Wait until no run is active, all are settled, no hold is open, and nothing waits to be sent."""

        async def is_drained() -> bool:
            runs = [run["_id"] async for run in self.db["runs"].find({}, {"state": 1})]
            return (
                await self.db["runs"].count_documents({"state": "active"}) == 0
                and await self.db["accounts"].count_documents({"held": {"$ne": 0}}) == 0
                and await self.db["transactions"].count_documents({"kind": "usage"}) == len(runs)
                and await self.db["ledger_outbox"].count_documents({}) == 0
            )

        await self.until(is_drained, within_s=within_s)

    async def audit(self) -> str:
        """Run the ledger's audit as an operator would; fails the test unless it is clean."""
        process = await asyncio.create_subprocess_exec(
            *python("usage_ledger", "audit"),
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def close(self) -> None:
        for client in self.clients:
            await client.http.aclose()
        results = await asyncio.gather(
            *(part.program.close() for part in self.parts), self.simulator.close(), return_exceptions=True
        )
        self.db.client.close()
        for result in results:
            if isinstance(result, BaseException):
                raise result


@asynccontextmanager
async def running_stack(
    *,
    db_url: str,
    amqp_url: str,
    redis_url: str,
    gateways: int = 1,
    workers: int = 1,
    ledgers: int = 1,
    provider_url: str | None = None,
    env: Mapping[str, str] | None = None,
) -> AsyncGenerator[Stack]:
    """Run the product for the length of a block. `provider_url` replaces the simulator as the provider."""
    simulator_port = free_port()
    simulator = Program("simulator", python("simulators.openai", "--port", str(simulator_port)))
    simulator_url = f"http://127.0.0.1:{simulator_port}"
    stack = Stack(
        env={
            "PATH": "/usr/bin:/bin",
            "DB_URL": db_url,
            "AMQP_URL": amqp_url,
            "REDIS_URL": redis_url,
            "OAI_BASE_URL": provider_url or f"{simulator_url}/v1",
            "OAI_TOKEN": "test-key",
            "OAI_ASSISTANT": "test",
            "ASSISTANTS_DIR": str(ASSISTANTS),
            "MESSAGES_PER_MINUTE": "100000",
            "LEASE_S": "5",
            "RECOVERY_EVERY_S": "2",
            "SWEEP_EVERY_S": "2",
            **(env or {}),
        },
        db=mongo.connect(db_url, service="test"),
        simulator_url=simulator_url,
        simulator=simulator,
    )
    try:
        for module, count in (("usage_ledger", ledgers), ("chat_worker", workers), ("gateway", gateways)):
            for _ in range(count):
                await stack.add(module)
        await asyncio.gather(*(part.until_ready() for part in stack.parts))
        yield stack
    finally:
        await stack.close()
