"""What was measured on: the machine, what else it did, and the versions of the servers."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from redis.asyncio import Redis

from common.mongo.client import connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`load` is the load average of the last minute before and after the run."""

    cpus: int
    servers: dict[str, str]
    python: str
    openai: str


async def machine(server_urls: Mapping[str, str], management: httpx.AsyncClient) -> Machine:
    db = connect(server_urls["db"], service="bench")
    build = await db.client.admin.command("buildInfo")
    db.client.close()
    async with Redis.from_url(server_urls["redis"]) as redis:
        redis_version = (await redis.info("server"))["redis_version"]
    overview = (await management.get("/api/overview")).json()
    return Machine(
        cpus=os.cpu_count() or 1,
        servers={
            "database": _database(build),
            "RabbitMQ": overview["rabbitmq_version"],
            "Redis": redis_version,
        },
        python=platform.python_version(),
        openai=importlib.metadata.version("openai"),
    )


def _database(build: Mapping[str, str]) -> str:
    stand_in = build.get("secantusVersion")
    return f"secantusdb {stand_in}" if stand_in else f"MongoDB {build['version']}"
