"""The simulator's faults, as the official SDK meets them."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openai import (
    APIConnectionError,
    APITimeoutError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    RateLimitError,
)
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from support.provider import Provider

EVENT = TypeAdapter[Any](ResponseStreamEvent)
SLOW = {"reply_tokens": 40, "tokens_per_s": 100}


@pytest.fixture
async def client(provider: Provider) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key="sk-test", base_url=provider.base_url, max_retries=0, timeout=30
    ) as running:
        yield running


async def stream(client: AsyncOpenAI, **options: Any) -> list[Any]:
    request: dict[str, Any] = {"model": "sim-1", "input": "hello", **options}
    return [event async for event in await client.responses.create(**request, stream=True)]


def text_of(events: list[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


class TestRefusals:
    @pytest.mark.parametrize(
        ("behaviour", "error"),
        [
            ({"status": 429, "code": "rate_limit_exceeded", "retry_after_s": 2}, RateLimitError),
            ({"status": 429, "code": "insufficient_quota"}, RateLimitError),
            ({"status": 400, "code": "context_length_exceeded"}, BadRequestError),
            ({"status": 401, "code": "invalid_api_key"}, AuthenticationError),
            ({"status": 500}, InternalServerError),
        ],
    )
    async def test_a_scripted_status(
        self, client: AsyncOpenAI, provider: Provider, behaviour: dict[str, Any], error: type[Any]
    ):
        await provider.script(behaviour)

        with pytest.raises(error) as raised:
            await stream(client, metadata={"run_id": "r"})

        assert raised.value.code == behaviour.get("code")
        wait = raised.value.response.headers.get("retry-after")
        assert wait == ("2" if "retry_after_s" in behaviour else None)
        journal = await provider.journal("r")
        assert journal["posts"] == {"r": 1}
        assert journal["responses"] == []

    async def test_a_wrong_key_is_echoed_as_the_real_one_does(self, provider: Provider):
        async with AsyncOpenAI(api_key="sk-wrong", base_url=provider.base_url, max_retries=0) as stranger:
            with pytest.raises(AuthenticationError, match="sk-wrong"):
                await stranger.models.list()

    async def test_an_output_limit_below_the_least_is_refused(self, client: AsyncOpenAI):
        with pytest.raises(BadRequestError) as raised:
            await client.responses.create(model="sim-1", input="x", max_output_tokens=15)

        assert raised.value.code == "integer_below_min_value"

    async def test_a_marker_fails_the_first_posts_of_a_run_only(self, client: AsyncOpenAI):
        text = 'hello [[sim: {"status": 503, "times": 2, "reply": "at last"}]]'

        for _ in range(2):
            with pytest.raises(InternalServerError):
                await stream(client, input=text, metadata={"run_id": "r"})
        events = await stream(client, input=text, metadata={"run_id": "r"})

        assert text_of(events) == "at last"


class TestFaults:
    @pytest.mark.parametrize("fault", ["reset", "cut", "fin", "stall"])
    async def test_a_broken_connection(self, client: AsyncOpenAI, provider: Provider, fault: str):
        await provider.script({"fault": fault, "after_deltas": 3, "reply_tokens": 30, "tokens_per_s": 500})

        with pytest.raises(APIConnectionError):
            await stream(client.with_options(timeout=2), metadata={"run_id": "r"})

        await provider.until("r", "cut")

    async def test_what_never_answers_may_have_been_generated_in_full(
        self, client: AsyncOpenAI, provider: Provider
    ):
        await provider.script({"fault": "hang", "reply_tokens": 30})

        with pytest.raises(APITimeoutError):
            await stream(client.with_options(timeout=2), metadata={"run_id": "r"})

        assert (await provider.until("r", "completed"))["usage"]["output_tokens"] == 30

    @pytest.mark.parametrize("fault", ["reset", "cut", "eof"])
    async def test_a_background_response_survives_it(
        self, client: AsyncOpenAI, provider: Provider, fault: str
    ):
        await provider.script({"fault": fault, "reply_tokens": 30, "tokens_per_s": 500})

        try:
            await stream(client, background=True, metadata={"run_id": "r"})
        except APIConnectionError:
            assert fault != "eof"

        await provider.until("r", "completed")

    async def test_an_early_end_in_good_order(self, client: AsyncOpenAI, provider: Provider):
        await provider.script({"fault": "eof", "after_deltas": 3, "reply_tokens": 30, "tokens_per_s": 500})

        events = await stream(client)

        assert text_of(events) == "t1 t2 t3"
        assert events[-1].type == "response.output_text.delta"

    async def test_a_malformed_event(self, client: AsyncOpenAI, provider: Provider):
        await provider.script({"fault": "malformed", "after_deltas": 3, "reply_tokens": 30})

        with pytest.raises(ValueError, match="Unterminated string"):
            await stream(client)

    async def test_a_flat_error_is_an_event(self, client: AsyncOpenAI, provider: Provider):
        await provider.script({"fault": "error", "after_deltas": 2, "reply_tokens": 9})

        events = await stream(client)

        assert events[-1].type == "error"
        assert text_of(events) == "t1 t2"

    async def test_a_failed_response_may_tell_its_usage(self, client: AsyncOpenAI, provider: Provider):
        failed = {"fault": "failed", "after_deltas": 2, "reply_tokens": 9}
        await provider.script(failed, {**failed, "usage": "missing"})

        told, untold = (await stream(client))[-1], (await stream(client))[-1]

        assert told.type == untold.type == "response.failed"
        assert told.response.usage.output_tokens == 2
        assert untold.response.usage is None

    async def test_a_peer_with_less_than_the_specification(self, client: AsyncOpenAI, provider: Provider):
        await provider.script(
            {"sequence_numbers": False, "usage": "no_details", "noise": True, "reply": "hi"}
        )

        events = await stream(client)

        assert all(getattr(e, "sequence_number", None) is None for e in events)
        assert events[-1].response.usage.input_tokens_details is None
        assert text_of(events) == "hi"
