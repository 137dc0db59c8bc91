"""What tests may ask for. A server is started when a test of the session needs it, once for all."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from urllib.parse import quote, urlsplit

import httpx
import pytest

from support.fresh import fresh_database, fresh_redis, fresh_vhost
from support.servers import KINDS, Kind, Servers, servers_for_tests


@pytest.fixture(scope="session")
async def servers(request: pytest.FixtureRequest) -> AsyncGenerator[Servers]:
    """All servers that the tests of this session ask for, started together."""
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    if "stack" in asked:
        # The whole product, which a module shares: it needs them all.
        asked |= {f"{kind}_url" for kind in KINDS}
    kinds: set[Kind] = {kind for kind in KINDS if asked & {f"{kind}_url", f"module_{kind}_url"}}
    async with servers_for_tests(kinds) as started:
        yield started


@pytest.fixture(scope="session")
async def management(servers: Servers) -> AsyncGenerator[httpx.AsyncClient]:
    """RabbitMQ's management API, signed in."""
    async with httpx.AsyncClient(base_url=servers.management_url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
async def amqp_url(servers: Servers, management: httpx.AsyncClient) -> AsyncGenerator[str]:
    """A virtual host of the test's own."""
    async with fresh_vhost(servers, management) as url:
        yield url


@pytest.fixture
def amqp_management_url(amqp_url: str, servers: Servers) -> str:
    """The address of the management API, with credentials, beside the test's own virtual host."""
    return servers.management_url


@pytest.fixture
def close_connections(amqp_url: str, management: httpx.AsyncClient) -> Callable[[], Awaitable[None]]:
    """Cut every connection to the test's virtual host, as an operator or a failing network would."""
    vhost = urlsplit(amqp_url).path.lstrip("/")

    async def close() -> None:
        # A service has two of them, of which the broker tells one after the other.
        async with asyncio.timeout(60):
            while len(open_ones := (await management.get(f"/api/vhosts/{vhost}/connections")).json()) < 2:
                await asyncio.sleep(0.1)
        for connection in open_ones:
            name = quote(connection["name"], safe="")
            (await management.delete(f"/api/connections/{name}")).raise_for_status()

    return close


@pytest.fixture
async def redis_url(servers: Servers) -> str:
    """An empty logical database; the next tests get others in turn. Channels are shared by all."""
    return await fresh_redis(servers)


@pytest.fixture(scope="module")
async def module_db_url(servers: Servers) -> AsyncGenerator[str]:
    """A database that all tests of a module share, who leave it as it is."""
    async with fresh_database(servers) as url:
        yield url


@pytest.fixture
async def db_url(servers: Servers) -> AsyncGenerator[str]:
    """A database of the test's own, gone after it."""
    async with fresh_database(servers) as url:
        yield url
