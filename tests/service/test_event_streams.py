"""Event streams over HTTP, with a test in the place of the worker."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
import uvicorn

from common.events.runs import RunCancelRequestedV1
from common.ids import new_id
from common.mongo.indexes import ensure_indexes
from common.tasks import background_tasks
from gateway.app import create_app
from gateway.context import Services
from gateway.indexes import INDEXES
from gateway.protocol import GatewayProtocol
from gateway.streaming.hub import RunHub
from gateway.threads.records import Thread
from support.clock import FakeClock
from support.gateway_app import FakePublisher, bearer, close_services, gateway_services, session_of
from support.hold_ledger import HoldLedger
from support.run_writer import RunWriter

USER = "u1"


@dataclass(slots=True)
class Wire:
    """A client of a gateway, and the parts behind it."""

    services: Services
    http: httpx.AsyncClient
    ledger: HoldLedger
    publisher: FakePublisher
    thread: Thread

    @asynccontextmanager
    async def ask(self, **body: Any) -> AsyncGenerator[AsyncIterator[list[str]]]:
        """Send a message; yields the blocks of its stream."""
        body = {"thread_id": self.thread.id, "text": "Why?", **body}
        async with self.http.stream("POST", "/chat/messages", json=body) as response:
            assert response.status_code == 200, await response.aread()
            yield blocks_of(response)

    @property
    def clock(self) -> FakeClock:
        clock = self.services.clock
        assert isinstance(clock, FakeClock)
        return clock

    async def read(self, path: str, **headers: str) -> list[list[str]]:
        async with self.http.stream("GET", path, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            return [block async for block in blocks_of(response)]

    def writer(self, run_id: str) -> RunWriter:
        return RunWriter(self.services.redis, run_id)

    async def until_unfollowed(self) -> None:
        """Wait until nobody follows a run, and no stream counts as open any more."""
        async with asyncio.timeout(20):
            while self.services.hub.followers or await self.services.redis.zcard(f"streams:{{{USER}}}"):
                await asyncio.sleep(0.02)


async def blocks_of(response: httpx.Response) -> AsyncIterator[list[str]]:
    """Split a stream into its blocks of lines; a comment is a block of its own."""
    block = list[str]()
    async for line in response.aiter_lines():
        if line:
            block.append(line)
        elif block:
            yield block
            block = []


def named(blocks: list[list[str]]) -> list[str]:
    return [line.removeprefix("event: ") for block in blocks for line in block if line.startswith("event: ")]


def data_of(blocks: list[list[str]], kind: str) -> dict[str, Any]:
    block = next(block for block in blocks if f"event: {kind}" in block)
    return orjson.loads(next(line for line in block if line.startswith("data: ")).removeprefix("data: "))


def run_of(opening: list[str]) -> str:
    """Read the run's id from the block that opens a stream."""
    (line,) = [line for line in opening if line.startswith("id: ")]
    run_id, sequence = line.removeprefix("id: ").split(":")
    assert sequence == "0"
    return run_id


@pytest.fixture
async def wire(db_url: str, redis_url: str) -> AsyncGenerator[Wire]:
    services = gateway_services(db_url=db_url, redis_url=redis_url, streams_per_user=3, send_timeout_s=1)
    await ensure_indexes(services.db, INDEXES)
    thread = await services.threads.insert_thread(
        new_id("t"), user_id=USER, title="", now=services.clock.now()
    )
    ledger, publisher = HoldLedger(), services.ask.publisher
    assert isinstance(publisher, FakePublisher)
    services.ask.ledger = ledger
    async with (
        background_tasks(services.hub.run(), services.limits.run()),
        served(services) as url,
        httpx.AsyncClient(
            base_url=url, headers=bearer(session_of(services, USER)), trust_env=False, timeout=30
        ) as http,
    ):
        yield Wire(services, http, ledger, publisher, thread)
    await close_services(services)


@asynccontextmanager
async def served(services: Services) -> AsyncGenerator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(services), http=GatewayProtocol, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listening]))
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def test_an_answer_streams_from_the_first_event_to_done(wire: Wire) -> None:
    async with wire.ask() as blocks:
        run = wire.writer(run_of(await anext(blocks)))
        await run.begin()
        assert named([await anext(blocks)]) == ["run"]
        await run.say("Because\n\nevent: done")
        block = await anext(blocks)
        assert data_of([block], "delta") == {"text": "Because\n\nevent: done", "at": 0}
        await run.finish()
        rest = [block async for block in blocks]
    assert named(rest) == ["usage", "done"]
    assert data_of(rest, "done") == {"status": "completed"}
    await wire.until_unfollowed()


async def test_the_headers_keep_proxies_and_caches_out_of_the_way(wire: Wire) -> None:
    run = wire.writer(await finished_run(wire))
    async with wire.http.stream("GET", f"/chat/runs/{run.run_id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-length" not in response.headers
        assert "content-encoding" not in response.headers


async def finished_run(wire: Wire, text: str = "Because.") -> str:
    """Ask, answer and store a run, and let its stream in Redis go."""
    async with wire.ask() as blocks:
        run = wire.writer(run_of(await anext(blocks)))
        await run.begin()
        await run.say(text)
        await run.finish()
        assert [block async for block in blocks]
    await run.store(wire.services.db, state="completed")
    await wire.services.redis.flushdb()
    return run.run_id


@pytest.mark.parametrize(
    ("others", "balance", "sequence"), [(None, 1_000, 20), ([], 993, 21), ([30, 0], 963, 23)]
)
async def test_usage_tells_the_balance_and_its_sequence_as_they_will_be_once_booked(
    wire: Wire, others: list[int] | None, balance: int, sequence: int
) -> None:
    """`others` are runs that are not booked yet either, by the tokens that they used; None if this one is."""
    run_id = await finished_run(wire)
    held = [] if others is None else [run_id]
    for tokens in others or ():
        other = new_id("r")
        held.append(other)
        run = {"user_id": USER, "state": "failed", "usage": {"total_tokens": tokens}}
        await wire.services.db["runs"].insert_one({"_id": other, **run})
    await wire.services.db["accounts"].insert_one(
        {
            "_id": USER,
            "balance": 1_000,
            "sequence": 20,
            "holds": [{"run_id": held_by, "tokens": 50} for held_by in held],
        }
    )
    usage = data_of(await wire.read(f"/chat/runs/{run_id}/events"), "usage")
    told = (usage["total_tokens"], usage["token_balance"], usage["token_sequence"])
    assert told == (7, balance, sequence)


async def test_usage_of_a_user_without_an_account_tells_no_balance(wire: Wire) -> None:
    run_id = await finished_run(wire)
    usage = data_of(await wire.read(f"/chat/runs/{run_id}/events"), "usage")
    assert (usage["token_balance"], usage["token_sequence"]) == (None, None)


async def test_the_balance_is_told_with_its_sequence_and_whose_it_is(wire: Wire) -> None:
    account = {"balance": 900, "held": 100, "available": 800, "token_grant": 500, "sequence": 12}
    await wire.services.db["accounts"].insert_one({"_id": USER, **account})
    async with wire.http.stream("GET", "/chat/account/events") as response:
        blocks = blocks_of(response)
        assert data_of([await anext(blocks), await anext(blocks)], "balance") == {
            "user_id": USER,
            "token_balance": 900,
            "token_sequence": 12,
            "token_held": 100,
            "token_available": 800,
            "token_grant": 500,
        }


async def test_a_stored_run_replays_and_then_has_nothing_more(wire: Wire) -> None:
    run_id = await finished_run(wire)
    blocks = await wire.read(f"/chat/runs/{run_id}/events")
    assert named(blocks) == ["run", "delta", "usage", "done"]
    last_id = blocks[-1][0].removeprefix("id: ")
    again = await wire.http.get(f"/chat/runs/{run_id}/events", headers={"Last-Event-ID": last_id})
    assert (again.status_code, again.content) == (204, b"")
    after = last_id.rsplit(":", 1)[1]
    assert (await wire.http.get(f"/chat/runs/{run_id}/events?after={after}")).status_code == 204


async def test_a_browser_that_repeats_its_get_resumes_the_run_and_asks_nothing_anew(wire: Wire) -> None:
    address = f"/chat/message?t={wire.thread.id}&m=Why"
    async with wire.http.stream("GET", address) as response:
        blocks = blocks_of(response)
        run = wire.writer(run_of(await anext(blocks)))
        await run.begin()
        await run.say("Bec")
        assert named([await anext(blocks), await anext(blocks)]) == ["run", "delta"]
    await run.say("ause")
    await run.finish()
    blocks = await wire.read(address, **{"Last-Event-ID": f"{run.run_id}:2"})
    assert named(blocks) == ["delta", "usage", "done"]
    assert data_of(blocks, "delta") == {"text": "ause", "at": 3}
    # Cut before the first event, it knows the run all the same.
    blocks = await wire.read(address, **{"Last-Event-ID": f"{run.run_id}:0"})
    assert named(blocks) == ["run", "delta", "delta", "usage", "done"]
    await run.store(wire.services.db, state="completed")
    done = await wire.http.get(address, headers={"Last-Event-ID": f"{run.run_id}:{run.sequence}"})
    assert done.status_code == 204
    assert len(wire.publisher.events) == 1


@pytest.mark.parametrize("path", ["/chat/runs/{run}/events", "/chat/message?t={thread}&m=Why"])
async def test_whoever_follows_a_run_that_nobody_begins_has_it_asked_for_again(wire: Wire, path: str) -> None:
    """As when the gateway that was to see to it was killed."""
    async with wire.ask() as blocks:
        run_id = run_of(await anext(blocks))
    wire.clock.pass_s(6)
    path = path.format(run=run_id, thread=wire.thread.id)
    async with wire.http.stream("GET", path, headers={"Last-Event-ID": f"{run_id}:0"}) as response:
        assert run_of(await anext(blocks_of(response))) == run_id
        await wire.services.ask.drain()
    once, twice = wire.publisher.events
    assert once == twice


async def test_a_run_is_resumed_in_its_own_thread_only(wire: Wire) -> None:
    run_id = await finished_run(wire)
    address = f"/chat/message?t={new_id('t')}&m=Why"
    response = await wire.http.get(address, headers={"Last-Event-ID": f"{run_id}:1"})
    assert response.status_code == 404
    assert len(wire.publisher.events) == 1


@pytest.mark.parametrize("last_event_id", ["x", "r_" + "0" * 32 + ":1", "12"])
async def test_a_last_event_id_that_does_not_fit_is_malformed(wire: Wire, last_event_id: str) -> None:
    run_id = await finished_run(wire)
    response = await wire.http.get(f"/chat/runs/{run_id}/events", headers={"Last-Event-ID": last_event_id})
    assert (response.status_code, response.json()["code"]) == (400, "malformed")


async def test_another_users_run_is_not_there(wire: Wire) -> None:
    run_id = await finished_run(wire)
    stranger = bearer(session_of(wire.services, "u2"))
    for method, path in (("GET", "events"), ("POST", "cancel")):
        response = await wire.http.request(method, f"/chat/runs/{run_id}/{path}", headers=stranger)
        assert response.status_code == 404
    assert not any(isinstance(event, RunCancelRequestedV1) for event in wire.publisher.events)


async def test_a_client_that_leaves_gives_back_its_stream(wire: Wire) -> None:
    for _ in range(5):
        async with wire.ask(client_message_id="c1") as blocks:
            await anext(blocks)
        await wire.until_unfollowed()
    assert wire.services.hub.channels == 0


async def test_a_client_that_reads_nothing_is_cut_and_holds_up_nobody(wire: Wire) -> None:
    async with wire.ask() as blocks:
        run = wire.writer(run_of(await anext(blocks)))
        token = session_of(wire.services, USER)
        host, port = wire.http.base_url.host, wire.http.base_url.port
        with socket.create_connection((host, port)) as lazy:
            lazy.sendall(f"GET /chat/runs/{run.run_id}/events?s={token} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            async with asyncio.timeout(20):
                while wire.services.hub.followers < 2:
                    await asyncio.sleep(0.02)
            await run.begin()
            for _ in range(300):
                await run.say("x" * 65_536)
                await anext(blocks)
            async with asyncio.timeout(20):
                while wire.services.hub.followers > 1:
                    await asyncio.sleep(0.02)
        await run.finish()
        assert named([block async for block in blocks])[-1] == "done"


async def test_too_many_streams_are_refused_before_anything_is_asked(wire: Wire) -> None:
    async with wire.ask(client_message_id="c1") as blocks:
        run_id = run_of(await anext(blocks))
        path = f"/chat/runs/{run_id}/events"
        async with wire.http.stream("GET", path), wire.http.stream("GET", path):
            commands = len(wire.ledger.commands)
            response = await wire.http.post(
                "/chat/messages", json={"thread_id": wire.thread.id, "text": "And?"}
            )
            assert (response.status_code, response.json()["code"]) == (429, "too_many_streams")
            assert "retry-after" in response.headers
            assert len(wire.ledger.commands) == commands


async def test_a_refusal_is_a_problem_and_not_a_stream(wire: Wire) -> None:
    wire.ledger.available = 0
    response = await wire.http.post("/chat/messages", json={"thread_id": wire.thread.id, "text": "Why?"})
    assert (response.status_code, response.json()["code"]) == (429, "insufficient_balance")
    await wire.until_unfollowed()


async def test_silence_is_filled_with_comments(wire: Wire) -> None:
    quick = RunHub(
        wire.services.redis,
        wire.services.stored_runs,
        wire.services.clock,
        stopping=wire.services.stopping,
        quiet_s=0.1,
        poll_s=0.05,
    )
    wire.services.ask.hub = quick
    async with background_tasks(quick.run()), wire.ask() as blocks:
        await anext(blocks)
        assert await anext(blocks) == [":"]
        assert await anext(blocks) == [":"]


async def test_stopping_the_gateway_ends_its_streams(wire: Wire) -> None:
    async with wire.ask() as blocks:
        await anext(blocks)
        wire.services.stopping.set()
        async with asyncio.timeout(20):
            assert [block async for block in blocks] == []


async def test_a_run_that_is_stopped_says_how_it_ended(wire: Wire) -> None:
    async with wire.ask() as blocks:
        run = wire.writer(run_of(await anext(blocks)))
        await run.begin()
        cancelling = asyncio.create_task(wire.http.post(f"/chat/runs/{run.run_id}/cancel"))
        async with asyncio.timeout(20):
            while not isinstance(wire.publisher.events[-1], RunCancelRequestedV1):
                await asyncio.sleep(0.02)
        assert wire.publisher.events[-1].run_id == run.run_id
        message = await wire.services.db["messages"].find_one({"run_id": run.run_id})
        assert message is not None
        assert message["cancel_requested_at"] is not None
        await run.finish("cancelled")
        response = await cancelling
        assert (response.status_code, response.json()) == (
            200,
            {"run_id": run.run_id, "status": "cancelled"},
        )
    await run.store(wire.services.db, state="cancelled")
    again = await wire.http.post(f"/chat/runs/{run.run_id}/cancel")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")
    assert len(wire.publisher.events) == 2


async def test_a_run_that_takes_its_time_to_stop_is_accepted_as_stopping(wire: Wire) -> None:
    async with wire.ask() as blocks:
        run_id = run_of(await anext(blocks))
        response = await wire.http.post(f"/chat/runs/{run_id}/cancel")
    assert (response.status_code, response.json()) == (202, {"run_id": run_id, "status": "active"})
    await wire.until_unfollowed()
