"""Servers that the fault tests may kill, freeze and flush: nobody else may use them meanwhile."""

from collections.abc import AsyncGenerator

import httpx
import pytest

from support.servers import PrivateServers, servers_to_break


@pytest.fixture(scope="session")
async def mortal_servers() -> AsyncGenerator[PrivateServers]:
    async with servers_to_break() as servers:
        yield servers


@pytest.fixture(scope="session")
async def mortal_management(mortal_servers: PrivateServers) -> AsyncGenerator[httpx.AsyncClient]:
    """The management API of their broker."""
    async with httpx.AsyncClient(
        base_url=mortal_servers.management_url, trust_env=False, timeout=30
    ) as client:
        yield client
