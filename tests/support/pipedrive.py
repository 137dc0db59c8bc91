"""Pipedrive's simulator as a process of its own, and pipedrive-sync beside the rest of the product."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from simulators.pipedrive.simulator import TOKEN
from support.processes import Program, free_port, python, running
from support.stack import Part, Stack

INTEGRATION = ("pipedrive", "a-password-of-the-integration")
INTEGRATION_ENV = {"INT_USER": INTEGRATION[0], "INT_PASSWORD": INTEGRATION[1]}
QUOTA, USED, BALANCE, USER_ID = "Chat token quota", "Chat tokens used", "Chat token balance", "Chat user id"

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Pipedrive:
    """A handle on the simulator."""

    url: str
    program: Program
    http: httpx.AsyncClient

    async def state(self) -> dict[str, Any]:
        return (await self.http.get("/_sim/state")).json()

    async def person(
        self, name: str, fields: Mapping[str, Any] | None = None, *, email: str | None = None
    ) -> int:
        """Make a person by hand, with our fields by their names."""
        body = {"name": name, "email": email, "fields": dict(fields or {})}
        return (await self._post("/_sim/persons", body))["id"]

    async def edit(self, ids: list[int], title: str, value: Any, *, is_bulk: bool = False) -> None:
        """Set a field by hand."""
        await self._post("/_sim/quota", {"ids": ids, "field": title, "value": value, "is_bulk": is_bulk})

    async def deliveries(self) -> dict[str, Any]:
        """What became of the webhooks."""
        return (await self.http.get("/_sim/deliveries")).json()

    async def shown(self, person_id: int) -> dict[str, Any]:
        """What the fields of a person show."""
        return next(p["fields"] for p in (await self.state())["persons"] if p["id"] == person_id)

    async def until_set_up(self, *, within_s: float = 60.0) -> None:
        """Wait until fields and webhook are there."""
        async with asyncio.timeout(within_s):
            while not _is_set_up(await self.state()):
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()


@asynccontextmanager
async def simulated_pipedrive(*options: str) -> AsyncGenerator[Pipedrive]:
    port = free_port()
    command = python("simulators.pipedrive", "--port", str(port), *options)
    async with (
        running("pipedrive-simulator", command, port=port) as program,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http,
    ):
        yield Pipedrive(f"http://127.0.0.1:{port}", program, http)


def _is_set_up(state: Mapping[str, Any]) -> bool:
    has_fields = {QUOTA, USED, BALANCE, USER_ID} <= set(state["fields"])
    return has_fields and any(hook["is_active"] for hook in state["webhooks"])


async def add_sync(stack: Stack, pipedrive: Pipedrive, **env: str) -> Part:
    """Start pipedrive-sync, which makes fields and webhook by itself, and wait until that is done."""
    part = await stack.add(
        "pipedrive_sync",
        **{
            "PIPEDRIVE_TOKEN": TOKEN,
            "PIPEDRIVE_BASE_URL": pipedrive.url,
            "PIPEDRIVE_SETUP_AT_START": "true",
            "DIST_URL": stack.gateways[0].url,
            **INTEGRATION_ENV,
            **env,
        },
    )
    await part.until_ready()
    await pipedrive.until_set_up()
    return part
