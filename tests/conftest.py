"""What tests may ask for. A server is started when a test of the session needs it, once for all."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import count
from urllib.parse import quote, urlsplit

import httpx
import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from common.ids import new_id
from support.servers import KINDS, Kind, Servers, servers_for_tests

_REDIS_DATABASES = 16
_redis_database = count()


@pytest.fixture(scope="session")
async def servers(request: pytest.FixtureRequest) -> AsyncGenerator[Servers]:
    """All servers that the tests of this session ask for, started together."""
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    kinds: set[Kind] = {kind for kind in KINDS if f"{kind}_url" in asked}
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
    vhost = new_id("q")
    user = urlsplit(servers.urls["amqp"]).username or "guest"
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    (await management.put(f"/api/vhosts/{vhost}", json={})).raise_for_status()
    (await management.put(f"/api/permissions/{vhost}/{user}", json=everything)).raise_for_status()
    yield urlsplit(servers.urls["amqp"])._replace(path=f"/{vhost}").geturl()
    (await management.delete(f"/api/vhosts/{vhost}")).raise_for_status()


@pytest.fixture
def amqp_management_url(servers: Servers) -> str:
    """The address of the management API, with credentials."""
    return servers.management_url


@pytest.fixture
def close_connections(amqp_url: str, management: httpx.AsyncClient) -> Callable[[], Awaitable[None]]:
    """Cut every connection to the test's virtual host, as an operator or a failing network would."""
    vhost = urlsplit(amqp_url).path.lstrip("/")

    async def close() -> None:
        async with asyncio.timeout(20):
            while not (open_ones := (await management.get(f"/api/vhosts/{vhost}/connections")).json()):
                await asyncio.sleep(0.1)
        for connection in open_ones:
            name = quote(connection["name"], safe="")
            (await management.delete(f"/api/connections/{name}")).raise_for_status()

    return close


@pytest.fixture
async def redis_url(servers: Servers) -> str:
    """An empty logical database; the next tests get others in turn. Channels are shared by all."""
    database = next(_redis_database) % _REDIS_DATABASES
    url = urlsplit(servers.urls["redis"])._replace(path=f"/{database}").geturl()
    async with Redis.from_url(url) as client:
        await client.flushdb()
    return url


@pytest.fixture
async def db_url(servers: Servers) -> AsyncGenerator[str]:
    """A database of the test's own, gone after it."""
    name = new_id("q")
    url = urlsplit(servers.urls["db"])._replace(path=f"/{name}").geturl()
    yield url
    async with AsyncMongoClient(url) as client:
        await client.drop_database(name)
