"""`make run` on real servers: it starts all, keeps it running, keeps its data, leaves nothing behind."""

import os
import signal
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from embedded import processes, token
from embedded.config import read_config
from embedded.ports import free_ports
from embedded.run_file import RunFile
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
