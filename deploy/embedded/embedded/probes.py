"""Asks a part whether it answers. A probe raises NotReady with the reason; it never waits long."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import httpx
from aiormq.exceptions import AMQPError
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

Probe = Callable[[], Awaitable[None]]

_TIMEOUT_S = 3.0
_LOOK_EVERY_S = 0.1


class NotReady(Exception):
    """The part does not answer yet."""


class PartFailed(Exception):
    """A part will not become ready; the message names it and says why."""


def amqp(url: str) -> Probe:
    """Open a connection with the URL's credentials and virtual host."""

    address = urlsplit(url)
    port = address.port or (5671 if address.scheme == "amqps" else 5672)

    async def probe() -> None:
        try:
            # First bare: the library logs every refused connection as an error.
            _, writer = await asyncio.open_connection(address.hostname, port)
            writer.close()
            await writer.wait_closed()
            connection = await aio_pika.connect(url, timeout=_TIMEOUT_S)
            await connection.close()
        except (AMQPError, OSError, TimeoutError) as error:
            raise _not_ready(error) from error

    return probe


def redis(url: str) -> Probe:
    async def probe() -> None:
        try:
            async with Redis.from_url(
                url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
            ) as client:
                await client.ping()
        except (RedisError, OSError) as error:
            raise _not_ready(error) from error

    return probe


def mongo(url: str) -> Probe:
    """Ask for the primary of a replica set: without one there are no transactions."""

    async def probe() -> None:
        try:
            client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                url, serverSelectionTimeoutMS=int(_TIMEOUT_S * 1000)
            )
            async with client:
                hello = await client.admin.command("hello")
        except (PyMongoError, OSError) as error:
            raise _not_ready(error) from error
        if not hello.get("isWritablePrimary"):
            raise NotReady("no primary")
        if "setName" not in hello:
            raise PartFailed(
                "DB_URL names a server outside a replica set; transactions need one (one node will do)"
            )

    return probe


def http(url: str) -> Probe:
    async def probe() -> None:
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
                answer = await client.get(url)
        except httpx.HTTPError as error:
            raise _not_ready(error) from error
        if not answer.is_success:
            raise NotReady(f"HTTP {answer.status_code} {answer.text[:200]}")

    return probe


def every(*probes: Probe) -> Probe:
    async def probe() -> None:
        for one in probes:
            await one()

    return probe


async def until_ready(
    part: str, probe: Probe, *, within_s: float, failure: Callable[[], Awaitable[str | None]] | None = None
) -> None:
    """Wait for the probe. `failure` says why waiting is of no use, or None while it is. Raises PartFailed."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while True:
        try:
            async with asyncio.timeout(_TIMEOUT_S * 2):
                return await probe()
        except (NotReady, TimeoutError) as error:
            reason = str(error) or "no answer"
        if failure is not None and (why := await failure()) is not None:
            raise PartFailed(f"{part} failed: {why}")
        if loop.time() > deadline_s:
            raise PartFailed(f"{part} was not ready within {within_s:.0f} s: {reason}")
        await asyncio.sleep(_LOOK_EVERY_S)


async def together(waits: Sequence[Awaitable[None]]) -> None:
    """Wait for all at once; the first failure ends the wait as that failure."""
    try:
        async with asyncio.TaskGroup() as group:
            for wait in waits:
                group.create_task(_as_task(wait))
    except* PartFailed as failures:
        raise failures.exceptions[0] from None


async def _as_task(wait: Awaitable[None]) -> None:
    await wait


def _not_ready(error: BaseException) -> NotReady:
    # The name alone: a driver's message may repeat the URL with its password.
    return NotReady(type(error).__name__)
