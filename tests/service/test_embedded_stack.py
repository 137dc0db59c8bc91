"""`make run` on real servers: it starts all, keeps it running, keeps its data, leaves nothing behind."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.mongo import client as mongo
from embedded import processes, token
from embedded.config import read_config
from embedded.ports import free_ports
from embedded.run_file import RunFile
from support.chat_client import ChatClient
from support.embedded_run import EmbeddedRun

Start = Callable[..., EmbeddedRun]
SERVERS = {"rabbitmq", "redis", "mongo", "model", "pipedrive"}
PARTS = SERVERS | {"usage-ledger", "chat-worker", "pipedrive-sync", "gateway"}


@pytest.fixture
def start() -> Generator[Start]:
    """Start runs that share one data directory, with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="chat-run-") as parent:
        runs: list[EmbeddedRun] = []

        def start_one(**settings: str) -> EmbeddedRun:
            runs.append(EmbeddedRun(Path(parent) / "run", **settings))
            return runs[-1]

        yield start_one
        for run in runs:
            run.tidy()


def pids_of(running: RunFile) -> set[int]:
    flat: set[int] = set()
    for pid in running.pids.values():
        flat.update([pid] if isinstance(pid, int) else pid or [])
    return flat


def thread_path(user_id: str) -> str:
    config = read_config({}, Path(os.devnull))
    return f"/chat/thread?s={token.issue(config, user_id)}"


@pytest.mark.timeout(400)
async def test_it_outlives_its_parts_and_its_own_death_and_keeps_its_data(start: Start):
    run = start(WORKERS="2")
    running = await run.until_ready()
    assert set(running.pids) == PARTS
    assert len(pids_of(running)) == len(PARTS) + 1
    assert all(processes.is_alive(pid) for pid in pids_of(running))
    thread = (await run.until_ok(thread_path("u1"))).json()["thread"]

    for part in ("usage-ledger", "rabbitmq", "gateway"):
        pid = run.pid_of(part)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert processes.is_alive(await run.until_again(part, not_pid=pid))
    assert (await run.until_ok("/health/ready")).is_success

    before = pids_of(await run.until_ready())
    run.kill()
    assert processes.marked(run.data_dir)
    run = start()
    running = await run.until_ready()
    assert not any(processes.is_alive(pid) for pid in before)
    assert (await run.until_ok(thread_path("u1"))).json()["thread"]["id"] == thread["id"]

    # Erlang's own helpers, the supervisor and the name server are among them.
    assert len(processes.marked(run.data_dir)) > len(pids_of(running))
    assert await run.end() == 0
    assert processes.marked(run.data_dir) == []
    assert RunFile.read(run.data_dir) is None


@pytest.mark.timeout(300)
async def test_the_printed_links_lead_to_an_answer_of_the_real_model_and_to_the_dashboard(start: Start):
    run = start()
    running = await run.until_ready()
    async with (
        signed_in_by(await run.printed("as a user")) as user,
        signed_in_by(await run.printed("as an operator")) as operator,
    ):
        thread_id = (await user.open())["thread"]["id"]
        answer = await user.ask(thread_id, "What is the capital of France?")
        assert answer.status in {"completed", "incomplete"}
        assert answer.text
        _, stored = (await user.open())["thread"]["messages"]
        assert (stored["text"], stored["status"]) == (answer.text, answer.status)
        assert answer.usage["input_tokens"] > 0 < answer.usage["output_tokens"]
        assert not answer.usage["estimated"]

        row = await only_usage_row(running)
        assert row["run_id"] == answer.run_id
        assert row["usage"] == {name: answer.usage[name] for name in row["usage"]}
        assert -row["tokens"] == answer.usage["total_tokens"]

        shown = await operator.http.get("/dashboard/transactions", params={"kind": "usage"})
        assert [item["run_id"] for item in shown.json()["items"]] == [answer.run_id]
        assert (await user.http.get("/dashboard/transactions")).status_code == httpx.codes.FORBIDDEN
    code, said = await run.audit()
    assert code == 0, said
    assert await run.end() == 0


@asynccontextmanager
async def signed_in_by(link: str) -> AsyncGenerator[ChatClient]:
    """Open a sign-in link as the app does: the token becomes the cookie."""
    page, _, token = link.partition("?s=")
    async with ChatClient(page, "", token=token) as client:
        shown = await client.http.get(link)
        assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
        (await client.http.post("/chat/session")).raise_for_status()
        del client.http.headers["Authorization"]
        yield client


async def only_usage_row(running: RunFile) -> dict[str, Any]:
    db = mongo.connect(running.db_url, service="test")
    try:
        async with asyncio.timeout(60):
            while not (rows := await db["transactions"].find({"kind": "usage"}).to_list(None)):
                await asyncio.sleep(0.1)
    finally:
        db.client.close()
    (row,) = rows
    return row


@pytest.mark.timeout(300)
async def test_given_servers_are_used_and_a_second_run_on_the_same_data_is_refused(
    start: Start, amqp_url: str, redis_url: str, db_url: str
):
    given = {"AMQP_URL": amqp_url, "REDIS_URL": redis_url, "DB_URL": db_url}
    first = start(**given)
    running = await first.until_ready()
    assert set(running.pids) == PARTS - {"rabbitmq", "redis", "mongo"}
    assert (running.amqp_url, running.redis_url, running.db_url) == (amqp_url, redis_url, db_url)

    second = start(**given)
    assert await second.ended() == 1
    assert running.url in second.output()
    assert all(processes.is_alive(pid) for pid in pids_of(running))

    assert await first.end(signal.SIGINT) == 0
    assert processes.marked(first.data_dir) == []


@pytest.mark.timeout(300)
async def test_a_part_that_cannot_work_ends_the_run_with_its_name_and_reason(
    start: Start, amqp_url: str, redis_url: str, db_url: str
):
    nobody = f"redis://127.0.0.1:{next(free_ports())}/0"
    run = start(AMQP_URL=amqp_url, REDIS_URL=nobody, DB_URL=db_url)
    assert await run.ended() == 1
    assert "REDIS_URL" in run.output()

    run = start(AMQP_URL=amqp_url, REDIS_URL=redis_url, DB_URL=db_url, TOKEN_BALANCE="many")
    assert await run.ended() == 1
    assert "usage-ledger failed" in run.output()
    assert "TOKEN_BALANCE" in run.output()
    assert processes.marked(run.data_dir) == []
