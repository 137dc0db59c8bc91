"""The database's disk is full: nothing is taken that is not stored, and all goes on once there is room."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from pymongo.errors import PyMongoError

from support.finished_runs import booked_tokens
from support.fresh import fresh_database, fresh_redis, fresh_vhost
from support.patient import ask_patiently
from support.servers import PrivateServers, private_servers
from support.sim import sim, tokens
from support.stack import Stack, running_stack

DISK_MIB = 128


@pytest.fixture
async def database() -> AsyncGenerator[PrivateServers]:
    """A database of this machine on a small disk of its own."""
    async with private_servers("db", db_disk_mib=DISK_MIB) as servers:
        yield servers


@pytest.fixture
async def product(
    database: PrivateServers, mortal_servers: PrivateServers, mortal_management: httpx.AsyncClient
) -> AsyncGenerator[Stack]:
    redis_url = await fresh_redis(mortal_servers)
    async with (
        fresh_database(database) as db_url,
        fresh_vhost(mortal_servers, mortal_management) as amqp_url,
        running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url) as stack,
    ):
        yield stack


def fill(directory: Path) -> Path:
    """Leave no room on a disk; return what took it."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65_536)
        except OSError:
            return ballast


async def use_up(product: Stack) -> None:
    """Store what nobody needs until not even a little goes in: the database's files have room left."""
    for size_bytes in (200_000, 10_000, 500, 10):
        with suppress(PyMongoError):
            while True:
                await product.db["ballast"].insert_one({"bytes": os.urandom(size_bytes)})


@pytest.mark.timeout(300)
async def test_f29_a_full_disk_of_the_database_takes_nothing_and_loses_nothing(
    product: Stack, database: PrivateServers
):
    user, other = product.client("u1"), product.client("u2")
    await user.open()
    await other.open()
    thread_id, other_thread_id = await user.new_thread(), await other.new_thread()
    text = sim(reply_tokens=200, tokens_per_s=20)
    asking = asyncio.create_task(ask_patiently([user], thread_id, text, client_message_id="c-1"))

    async def has_begun() -> bool:
        return await product.db["runs"].count_documents({"user_id": "u1"}) == 1

    await product.until(has_begun)
    ballast = await asyncio.to_thread(fill, database.parts["db"].programs[0].directory)
    await use_up(product)
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await other.ask(other_thread_id, sim(reply_tokens=5))
    assert refused.value.response.is_server_error
    ballast.unlink()
    # MongoDB ends itself when its journal cannot be written; the stand-in fails until it is ended.
    await database.end("db", signal.SIGKILL)
    await database.until_ready("db")
    answer = await asking
    assert (answer.status, answer.text) == ("completed", tokens(200))
    for part in product.parts:
        await part.until_ready()
    await product.drained()
    assert await booked_tokens(product, "u1") == [answer.answer.usage["total_tokens"]]
    assert await booked_tokens(product, "u2") == []
    assert (await other.ask(other_thread_id, sim(reply_tokens=5))).status == "completed"
    await product.drained()
    await product.audit()
