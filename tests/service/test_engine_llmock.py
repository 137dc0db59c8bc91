"""The engine against llmock, a provider that somebody else wrote."""

import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat_worker.engine.interface import ProviderAmbiguous, ProviderBusy, ProviderRefused, StreamLost
from chat_worker.engine.openai_engine import OpenAIEngine
from support.engine import connected_engine, listen, spec_of
from support.processes import free_port, running

REPLY = "One two three four five six seven eight nine ten."


@pytest.fixture(scope="module")
async def llmock() -> AsyncGenerator[httpx.AsyncClient]:
    port = free_port()
    serve = ("serve", "--host", "127.0.0.1", "--port", str(port), "--stream-chunk-delay-ms", "5")
    async with (
        running("llmock", [str(Path(sys.executable).with_name("llmock")), *serve], port=port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
    ):
        yield client


@pytest.fixture(scope="module")
async def engine(llmock: httpx.AsyncClient) -> AsyncGenerator[OpenAIEngine]:
    async with connected_engine(f"{llmock.base_url}/v1", idle_s=4) as engine:
        yield engine


@pytest.fixture(autouse=True)
async def clean(llmock: httpx.AsyncClient) -> None:
    await llmock.post("/_llmock/reset")


async def script(llmock: httpx.AsyncClient, *behaviors: dict[str, Any]) -> None:
    reply = {"type": "reply", "text": REPLY}
    answer = await llmock.post("/_llmock/scenario", json={"behaviors": [reply, *behaviors]})
    assert answer.is_success, answer.text


async def posts(llmock: httpx.AsyncClient) -> int:
    return (await llmock.get("/_llmock/requests")).json()["count"]


async def test_a_whole_answer(engine: OpenAIEngine, llmock: httpx.AsyncClient):
    await script(llmock)

    heard = await listen(engine.run(spec_of(background=True)))

    assert heard.text == REPLY
    assert heard.started.background is False
    assert heard.finished.status == "completed"
    assert heard.finished.usage is not None
    assert heard.finished.usage.input_tokens > 0
    assert heard.finished.usage.output_tokens > 0


async def test_a_slow_first_token_is_waited_for(engine: OpenAIEngine, llmock: httpx.AsyncClient):
    await script(llmock, {"type": "slow_first_token", "seconds": 0.6})

    assert (await listen(engine.run(spec_of()))).text == REPLY


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (429, ProviderBusy, "provider_busy"),
        (500, ProviderBusy, "provider_down"),
        (503, ProviderBusy, "provider_down"),
        (401, ProviderRefused, "provider_key_rejected"),
        (400, ProviderRefused, "request_rejected"),
    ],
)
async def test_an_error_before_the_answer_is_asked_for_once(
    engine: OpenAIEngine,
    llmock: httpx.AsyncClient,
    status: int,
    error: type[ProviderBusy | ProviderRefused],
    code: str,
):
    await script(llmock, {"type": "fail", "status": status, "retry_after": 3})

    heard = await listen(engine.run(spec_of()))

    assert isinstance(heard.error, error)
    assert isinstance(heard.error, ProviderBusy | ProviderRefused)
    assert heard.error.error.code == code
    if isinstance(heard.error, ProviderBusy):
        assert heard.error.retry_after_s == 3
    assert await posts(llmock) == 1


@pytest.mark.parametrize("kind", ["truncate", "disconnect", "malformed", "stall"])
async def test_a_stream_that_breaks_is_lost(engine: OpenAIEngine, llmock: httpx.AsyncClient, kind: str):
    await script(llmock, {"type": "stream_fault", "kind": kind, "after_chunks": 6})

    heard = await listen(engine.run(spec_of()))

    assert isinstance(heard.error, StreamLost)
    assert 0 < len(heard.text) < len(REPLY)
    assert REPLY.startswith(heard.text)
    assert await posts(llmock) == 1


async def test_a_stream_that_breaks_before_it_has_a_name_is_ambiguous(
    engine: OpenAIEngine, llmock: httpx.AsyncClient
):
    await script(llmock, {"type": "stream_fault", "kind": "truncate", "after_chunks": 0})

    assert isinstance((await listen(engine.run(spec_of()))).error, ProviderAmbiguous)


async def test_what_the_peer_does_not_know_is_no_surprise(engine: OpenAIEngine):
    assert await engine.retrieve("resp_1") is None
    assert await engine.cancel("resp_1") is None
    resumed = await listen(engine.resume("resp_1"))
    assert isinstance(resumed.error, ProviderRefused)
