"""Real RabbitMQ, Redis and MongoDB for tests: named by the environment, in containers, or private ones.

Each is chosen by itself: `TEST_AMQP_URL`, `TEST_REDIS_URL` and `TEST_DB_URL` name servers that the tests
may fill and flush (RabbitMQ with its management plugin, see `TEST_AMQP_MANAGEMENT_URL`). Without them,
containers are used where a Docker engine answers, else servers of this machine on free ports.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from embedded import probes, processes
from embedded.part import Part
from embedded.ports import free_ports
from embedded.probes import Probe, together, until_ready
from embedded.program import Tier
from embedded.servers.mongo import mongo
from embedded.servers.rabbitmq import rabbitmq
from embedded.servers.redis import redis
from embedded.supervision import Supervisor
from support.containers import container

Kind = Literal["amqp", "redis", "db"]
KINDS: tuple[Kind, ...] = ("amqp", "redis", "db")

_PRIVATE: dict[Kind, Callable[[Path, Iterator[int]], Part]] = {"amqp": rabbitmq, "redis": redis, "db": mongo}
_PROBE: dict[Kind, Callable[[str], Probe]] = {
    "amqp": probes.amqp,
    "redis": probes.redis,
    "db": probes.mongo,
}
_FOLDER = "chat-tests-"
_READY_WITHIN_S = 90.0
_ENDED_WITHIN_S = 60.0
_STEPPED_DOWN_S = 5
_LOOK_EVERY_S = 0.05
_MANAGEMENT_PORT = 15672


@dataclass(slots=True)
class Servers:
    """The servers that answer, by kind; only those asked for."""

    urls: dict[Kind, str] = field(default_factory=dict[Kind, str])
    management_url: str = ""


class PrivateServers(Servers):
    """Servers of this machine that a test may also disturb; one that dies is started again.

    `db_url` names a database that is not ours: a member of a replica set, which is disturbed by having it
    step down.
    """

    def __init__(self, data_dir: Path, kinds: set[Kind], *, db_url: str | None = None) -> None:
        ports = free_ports()
        private = kinds - ({"db"} if db_url else set())
        self.parts: dict[Kind, Part] = {kind: _PRIVATE[kind](data_dir, ports) for kind in private}
        super().__init__({kind: part.url for kind, part in self.parts.items()})
        if db_url:
            self.urls["db"] = _direct(db_url)
        if "amqp" in self.parts:
            self.management_url = self.parts["amqp"].management_url or ""
        self._supervisor = Supervisor(data_dir, [p for part in self.parts.values() for p in part.programs])

    async def open(self) -> None:
        await self._supervisor.open()
        await self._supervisor.start(Tier.NAMES)
        await self._supervisor.start(Tier.SERVERS)
        await together([self.until_ready(kind) for kind in self.parts])

    async def close(self) -> None:
        await self._supervisor.close()

    async def pid(self, kind: Kind) -> int:
        """Return the server's process, 0 while it does not run."""
        return (await self._supervisor.states())[self.parts[kind].program.name].pid

    async def end(self, kind: Kind, number: signal.Signals) -> None:
        """End a server, which its supervisor starts again; return once the old process is gone."""
        if kind not in self.parts:
            await _step_down(self.urls[kind])
            return
        pid = await self.pid(kind)
        os.kill(pid, number)
        async with asyncio.timeout(_ENDED_WITHIN_S):
            while await self.pid(kind) == pid:
                await asyncio.sleep(_LOOK_EVERY_S)

    async def until_ready(self, kind: Kind) -> None:
        if kind in self.parts:
            await self._supervisor.until_ready(self.parts[kind], within_s=_READY_WITHIN_S)
        else:
            await _until_primary(self.urls[kind])


def _direct(db_url: str) -> str:
    """Write a URL that leads to its first member only, as a proxy in between needs."""
    parts = urlsplit(db_url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    options = dict(parse_qsl(parts.query)) | {"directConnection": "true"}
    options.pop("replicaSet", None)
    netloc = f"{credentials}{at}{hosts.split(',')[0]}"
    return parts._replace(netloc=netloc, path=parts.path or "/", query=urlencode(options)).geturl()


async def _step_down(db_url: str) -> None:
    """Have the primary give up its place for some seconds, in which it refuses all writes."""
    async with AsyncMongoClient(db_url) as client:
        with suppress(AutoReconnect):
            await client.admin.command("replSetStepDown", _STEPPED_DOWN_S, force=True)


async def _until_primary(db_url: str) -> None:
    async with AsyncMongoClient(db_url, timeoutMS=5_000) as client, asyncio.timeout(_READY_WITHIN_S):
        while True:
            with suppress(PyMongoError):
                if (await client.admin.command("hello"))["isWritablePrimary"]:
                    return
            await asyncio.sleep(_LOOK_EVERY_S)


@asynccontextmanager
async def private_servers(*kinds: Kind, db_url: str | None = None) -> AsyncGenerator[PrivateServers]:
    """Run servers of this machine for the length of a block; their data goes with them.

    `db_url` is used in place of a database of this machine.
    """
    _end_dead_sessions()
    data_dir = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
    servers = PrivateServers(data_dir, set(kinds), db_url=db_url)
    try:
        await servers.open()
        yield servers
    finally:
        await asyncio.to_thread(_end, data_dir)
        await servers.close()


def servers_to_break() -> AbstractAsyncContextManager[PrivateServers]:
    """Run servers that tests break; the database is that of `TEST_DB_URL` where it is set."""
    return private_servers(*KINDS, db_url=os.environ.get("TEST_DB_URL"))


@asynccontextmanager
async def servers_for_tests(kinds: set[Kind]) -> AsyncGenerator[Servers]:
    """Have the servers of these kinds ready for the length of a block, all started at once."""
    servers = Servers()
    for kind in kinds:
        if url := os.environ.get(f"TEST_{kind.upper()}_URL"):
            servers.urls[kind] = url
            await _ready(kind, url)
    if "amqp" in servers.urls:
        servers.management_url = os.environ.get("TEST_AMQP_MANAGEMENT_URL") or _management_of(
            servers.urls["amqp"]
        )
    missing: list[Kind] = [kind for kind in KINDS if kind in kinds and kind not in servers.urls]
    async with AsyncExitStack() as stack:
        if missing and await _docker_answers():
            started = await asyncio.gather(*(asyncio.to_thread(container, kind) for kind in missing))
            for kind, running in zip(missing, started, strict=True):
                stack.callback(running.stop)
                servers.urls[kind] = running.url
                servers.management_url = running.management_url or servers.management_url
            await together([_ready(kind, servers.urls[kind]) for kind in missing])
        elif missing:
            private = await stack.enter_async_context(private_servers(*missing))
            servers.urls |= private.urls
            servers.management_url = private.management_url or servers.management_url
        yield servers


async def _docker_answers() -> bool:
    """Ask as testcontainers would, in a process of its own: a failed attempt leaves sockets open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import docker; docker.from_env(timeout=3).ping()"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


def _management_of(amqp_url: str) -> str:
    parts = urlsplit(amqp_url)
    credentials = parts.netloc.rpartition("@")[0] or "guest:guest"
    return f"http://{credentials}@{parts.hostname}:{_MANAGEMENT_PORT}"


def _end_dead_sessions() -> None:
    """End what test sessions left behind that were killed before they could tidy up."""
    for data_dir in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        pid = data_dir.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdecimal() and not processes.is_alive(int(pid)):
            _end(data_dir)


def _end(data_dir: Path) -> None:
    """End by force: nobody needs the data any more."""
    processes.end_marked(data_dir, grace_s=0)
    shutil.rmtree(data_dir, ignore_errors=True)


async def _ready(kind: Kind, url: str) -> None:
    await until_ready(f"{kind} for tests", _PROBE[kind](url), within_s=_READY_WITHIN_S)
