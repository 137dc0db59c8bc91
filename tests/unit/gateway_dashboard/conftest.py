"""The gateway as an operator asks it."""

from collections.abc import AsyncGenerator

import httpx
import pytest

from support.gateway_app import bearer, gateway_client, gateway_services, session_of


@pytest.fixture(scope="module")
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    services = gateway_services()
    async with gateway_client(services) as client:
        client.headers.update(bearer(session_of(services, "op", role="operator")))
        yield client
