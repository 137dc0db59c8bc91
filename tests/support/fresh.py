"""Empty places on the servers of the test session: a virtual host, a logical database, a database."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import TypedDict
from urllib.parse import urlsplit

import httpx
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from common.ids import new_id
from support.servers import Servers

_REDIS_DATABASES = 16


class Places(TypedDict):
    """URLs of empty places, as the product's whole stack takes them."""

    db_url: str
    amqp_url: str
    redis_url: str


_redis_database = count()


@asynccontextmanager
async def fresh_vhost(servers: Servers, management: httpx.AsyncClient) -> AsyncGenerator[str]:
    """Make a virtual host, gone after the block; yields its URL."""
    vhost = new_id("q")
    user = urlsplit(servers.urls["amqp"]).username or "guest"
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    (await management.put(f"/api/vhosts/{vhost}", json={})).raise_for_status()
    (await management.put(f"/api/permissions/{vhost}/{user}", json=everything)).raise_for_status()
    yield urlsplit(servers.urls["amqp"])._replace(path=f"/{vhost}").geturl()
    (await management.delete(f"/api/vhosts/{vhost}")).raise_for_status()


async def fresh_redis(servers: Servers) -> str:
    """Empty the next logical database in turn; return its URL."""
    database = next(_redis_database) % _REDIS_DATABASES
    url = urlsplit(servers.urls["redis"])._replace(path=f"/{database}").geturl()
    async with Redis.from_url(url) as client:
        await client.flushdb()
    return url


def fresh_database(servers: Servers) -> AbstractAsyncContextManager[str]:
    """Name a database, gone after the block; yields its URL."""
    return fresh_database_on(servers.urls["db"])


@asynccontextmanager
async def fresh_database_on(db_url: str) -> AsyncGenerator[str]:
    """Do so on a server of one's own."""
    name = new_id("q")
    url = urlsplit(db_url)._replace(path=f"/{name}").geturl()
    yield url
    async with AsyncMongoClient(url) as client:
        await client.drop_database(name)


@asynccontextmanager
async def fresh_places(servers: Servers, management: httpx.AsyncClient) -> AsyncGenerator[Places]:
    """Make all three."""
    redis_url = await fresh_redis(servers)
    async with fresh_database(servers) as db_url, fresh_vhost(servers, management) as amqp_url:
        yield Places(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url)
