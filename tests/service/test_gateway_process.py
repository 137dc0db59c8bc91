"""The gateway as a process, and its sockets."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from common.mongo import client as mongo
from gateway.app import create_app
from gateway.context import Services
from gateway.indexes import INDEXES
from gateway.middleware.access_log import AccessLog
from gateway.middleware.send_timeout import SendTimeout
from gateway.protocol import HEAD_BYTES_MAX, GatewayProtocol
from support.clock import FakeClock
from support.gateway_app import bearer, close_services, gateway_services, session_of
from support.processes import Program, free_port, python

ASSISTANTS = Path(__file__).parents[1] / "support" / "assistants"


class TestProcess:
    @pytest.mark.parametrize(
        ("env", "said"),
        [
            ({"ADDRESS": "0.0.0.0"}, "SHARED_SECRET must be set"),
            ({"DIST_URL": "https://chat.example"}, "SHARED_SECRET must be set"),
            ({"SHARED_SECRET": "short-s3cret"}, "at least 32 bytes"),
            ({"MESSAGES_PER_MINUTE": "many"}, "MESSAGES_PER_MINUTE"),
            ({"DIST_URL": "ftp://x"}, "DIST_URL"),
            ({"OAI_ASSISTANT": "nobody"}, "OAI_ASSISTANT=nobody has no profile"),
        ],
    )
    async def test_wrong_settings_refuse_to_start_and_say_which(self, env: dict[str, str], said: str):
        base = {"ASSISTANTS_DIR": str(ASSISTANTS), "OAI_ASSISTANT": "test"}
        program = Program("gateway", python("gateway"), env=base | env)
        try:
            assert await program.ended(within_s=90) == 78
            assert said in program.output()
            assert "Traceback" not in program.output()
            assert "s3cret" not in program.output()
        finally:
            await program.close()

    async def test_it_starts_makes_its_indexes_and_ends_when_told(
        self, db_url: str, redis_url: str, amqp_url: str
    ):
        port = free_port()
        env = {
            "DB_URL": db_url,
            "REDIS_URL": redis_url,
            "AMQP_URL": amqp_url,
            "PORT": str(port),
            "ASSISTANTS_DIR": str(ASSISTANTS),
            "OAI_ASSISTANT": "test",
        }
        program = Program("gateway", python("gateway"), env=env)
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30
            ) as client:
                await until_ready(client, program)
                assert (await client.get("/chat/thread")).status_code == 401
            db = mongo.connect(db_url, service="test")
            try:
                for spec in INDEXES:
                    assert spec.name in await db[spec.collection].index_information()
            finally:
                db.client.close()
            program.send(signal.SIGTERM)
            assert await program.ended() == 0
            assert '"event": "stopped"' in program.output()
        finally:
            await program.close()


async def until_ready(client: httpx.AsyncClient, program: Program) -> None:
    async with asyncio.timeout(90):
        while True:
            assert program.is_alive, program.output()
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


class HurriedProtocol(GatewayProtocol):
    head_timeout_s = 1.0


@asynccontextmanager
async def served(
    app: ASGIApp, protocol: type[GatewayProtocol] = GatewayProtocol
) -> AsyncGenerator[uvicorn.Server]:
    """Serve on a free port; `server.config.port` says which."""
    config = uvicorn.Config(
        app, port=free_port(), http=protocol, ws="none", lifespan="off", access_log=False, log_config=None
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = server.force_exit = True
        await task


@pytest.fixture
async def services() -> AsyncGenerator[Services]:
    services = gateway_services()
    yield services
    await close_services(services)


class TestSockets:
    async def exchange(self, port: int, *parts: bytes) -> bytes:
        """Send raw bytes; return what comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(30):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def test_an_address_of_a_hundred_kilobytes_is_refused(self, services: Services):
        async with served(create_app(services)) as server:
            head = (
                b"GET /chat/threads?q="
                + b"a" * 100_000
                + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            answer = await self.exchange(server.config.port, head)
        assert answer.startswith(b"HTTP/1.1 414 ")
        assert b'"code":"uri_too_long"' in answer

    async def test_a_head_without_an_end_is_refused(self, services: Services):
        async with served(create_app(services)) as server:
            pieces = [b"x-pad-%d: " % n + b"a" * 8_000 + b"\r\n" for n in range(40)]
            answer = await self.exchange(server.config.port, b"GET / HTTP/1.1\r\nHost: x\r\n", *pieces)
            assert not server.server_state.tasks
        # A client that is still sending may lose the refusal with the connection.
        assert not answer or answer.startswith(b"HTTP/1.1 413 ")
        assert sum(map(len, pieces)) > HEAD_BYTES_MAX

    async def test_a_head_that_does_not_come_is_waited_for_in_vain(self, services: Services):
        async with served(create_app(services), HurriedProtocol) as server:
            for start in (b"", b"GET / HT", b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\nGET /do"):
                answer = await self.exchange(server.config.port, start)
                assert answer.count(b"HTTP/1.1 ") == start.count(b"\r\n\r\n")

    async def test_a_request_that_came_in_pieces_is_served(self, services: Services):
        async with served(create_app(services)) as server:
            head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            answer = await self.exchange(server.config.port, *(bytes([byte]) for byte in head))
        assert answer.startswith(b"HTTP/1.1 200 ")

    async def test_many_requests_on_one_connection_are_not_one_large_head(self, services: Services):
        async with served(create_app(services)) as server:
            url = f"http://127.0.0.1:{server.config.port}"
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
                for _ in range(30):
                    answer = await client.get("/chat/file?id=" + "x" * 6_000)
                    assert answer.status_code == 401

    async def test_a_large_body_in_chunks_is_refused_on_the_wire(self, services: Services):
        async def body() -> AsyncGenerator[bytes]:
            for _ in range(100):
                yield b"x" * 4_096

        async with served(create_app(services)) as server:
            url = f"http://127.0.0.1:{server.config.port}"
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
                answer = await client.post(
                    "/chat/threads", content=body(), headers=bearer(session_of(services))
                )
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    async def test_a_reader_that_stops_is_cut_and_leaves_nothing_open(self):
        ended: list[BaseException | None] = []

        async def endless(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            try:
                while True:
                    await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            except BaseException as error:
                ended.append(error)
                raise

        app = AccessLog(SendTimeout(endless, timeout_s=0.5), clock=FakeClock())
        async with served(app) as server:
            with socket.socket() as reader:
                reader.setblocking(False)
                await asyncio.get_running_loop().sock_connect(reader, ("127.0.0.1", server.config.port))
                reader.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                async with asyncio.timeout(30):
                    while not ended or server.server_state.connections:
                        await asyncio.sleep(0.02)
            assert [type(error).__name__ for error in ended] == ["SlowReader"]
