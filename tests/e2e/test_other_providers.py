"""The same product against a provider of somebody else's making: llmock, as a real process."""

import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from common.ids import new_id
from support.fresh import fresh_places
from support.processes import free_port, running
from support.servers import Servers
from support.stack import Stack, running_stack


@pytest.fixture(scope="module")
async def llmock_url() -> AsyncGenerator[str]:
    port = free_port()
    argv = [
        str(Path(sys.executable).parent / "llmock"),
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--stream-chunk-delay-ms",
        "20",
    ]
    async with running("llmock", argv, port=port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
async def stack(servers: Servers, management: httpx.AsyncClient, llmock_url: str) -> AsyncGenerator[Stack]:
    """One stack for all tests here; each has users of its own."""
    async with (
        fresh_places(servers, management) as places,
        running_stack(**places, provider_url=f"{llmock_url}/v1") as stack,
    ):
        yield stack


@pytest.fixture
def me() -> str:
    return new_id("q")


async def misbehave(llmock_url: str, *behaviors: dict[str, object]) -> None:
    async with httpx.AsyncClient(base_url=llmock_url, timeout=30) as http:
        (await http.post("/_llmock/scenario", json={"behaviors": list(behaviors)})).raise_for_status()


async def test_a_whole_answer_is_booked_as_reported(stack: Stack, me: str):
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    answer = await user.ask(thread_id, f"an ordinary question of {me}")
    assert answer.status == "completed"
    assert answer.text
    await stack.drained()
    (row,) = await stack.usage_rows(user_id=me)
    assert (-row["tokens"], row["estimated"]) == (answer.usage["total_tokens"], False)
    await stack.audit()


FAULTS = {
    "truncated": ([{"type": "stream_fault", "kind": "truncate", "after_chunks": 6}], "interrupted"),
    "too many requests, for good": ([{"type": "fail", "status": 429, "retry_after": 0}] * 4, "failed"),
    "too many requests, once": ([{"type": "fail", "status": 429, "retry_after": 0}], "completed"),
    "server error, for good": ([{"type": "fail", "status": 500}] * 4, "failed"),
}


@pytest.mark.parametrize(("behaviors", "status"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_ends_in_a_terminal_state_and_a_closed_hold(
    stack: Stack, me: str, llmock_url: str, behaviors: list[dict[str, object]], status: str
):
    await misbehave(llmock_url, *behaviors)
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    answer = await user.ask(thread_id, f"a question of {me}")
    assert answer.status == status
    await stack.drained()
    account = await stack.account(me)
    assert (account["held"], account["holds"]) == (0, [])
    (row,) = await stack.usage_rows(user_id=me)
    assert row["estimated"] is (status == "interrupted")
    assert (row["tokens"] == 0) is (status == "failed")
    await stack.audit()
