"""The simulated provider as a process of its own, with a handle to script it and to read its journal."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from support.processes import Program, free_port, python, running

UNTIL_S = 60.0


@dataclass(frozen=True, slots=True)
class Provider:
    """`base_url` is what `OAI_BASE_URL` takes."""

    port: int
    program: Program
    _http: httpx.AsyncClient

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def script(self, *behaviours: dict[str, Any]) -> None:
        """Say how the next requests are answered; see `simulators.openai.behaviour`."""
        answer = await self._http.post("/_sim/script", json={"behaviours": behaviours})
        assert answer.status_code == httpx.codes.OK, answer.text

    async def journal(self, run_id: str | None = None) -> dict[str, Any]:
        """Tell what was asked and what it really cost, of one run or of all."""
        answer = await self._http.get("/_sim/journal", params={} if run_id is None else {"run_id": run_id})
        return answer.json()

    async def response(self, run_id: str) -> dict[str, Any]:
        """Return the journal's only response of a run."""
        [response] = (await self.journal(run_id))["responses"]
        return response

    async def until(self, run_id: str, status: str) -> dict[str, Any]:
        """Wait for a response of a run to be in a state: what the client did reaches the provider later."""
        async with asyncio.timeout(UNTIL_S):
            while True:
                for response in (await self.journal(run_id))["responses"]:
                    if response["status"] == status:
                        return response
                await asyncio.sleep(0.02)

    async def reset(self) -> None:
        await self._http.post("/_sim/reset")


@asynccontextmanager
async def simulated_provider(port: int | None = None) -> AsyncGenerator[Provider]:
    port = port or free_port()
    async with (
        running("openai-simulator", python("simulators.openai", "--port", str(port)), port=port) as program,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http,
    ):
        yield Provider(port, program, http)
