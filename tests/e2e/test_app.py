"""The app as people meet it: the built files in a real browser, in front of the whole product."""

import asyncio
import os
from collections.abc import AsyncGenerator

import httpx
import pytest

from support.app_stack import APP, app_on_stack
from support.judges import node
from support.servers import Servers

VITEST = APP / "node_modules" / "vitest" / "vitest.mjs"


@pytest.fixture
async def stack(servers: Servers, management: httpx.AsyncClient) -> AsyncGenerator[str]:
    async with app_on_stack(servers, management) as described:
        yield described


# All journeys are one test here; each of them has a limit of its own there.
@pytest.mark.timeout(900)
async def test_every_journey_works_in_a_browser(stack: str):
    """The journeys themselves are in `app/e2e-tests`; what they say is shown when one fails."""
    process = await asyncio.create_subprocess_exec(
        *(node(), VITEST, "run", "--project", "e2e"),
        cwd=APP,
        env={**os.environ, "E2E_STACK": stack, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
