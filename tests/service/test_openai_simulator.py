"""The simulator against the official SDK, which judges whether it speaks the API."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openai import (
    AsyncOpenAI,
    BadRequestError,
    NotFoundError,
)
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from support.provider import Provider

EVENT = TypeAdapter[Any](ResponseStreamEvent)
SLOW = {"reply_tokens": 40, "tokens_per_s": 100}
SLOWER = {"reply_tokens": 40, "tokens_per_s": 8}
"""It is still going on when a busy machine comes to ask."""


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


async def test_every_event_is_what_its_type_demands(client: AsyncOpenAI, provider: Provider):
    files = [{"name": "a.csv", "content": "1"}, {"name": "b.csv", "content": "2", "cited_as": "file"}]
    await provider.script({"reply_tokens": 5, "reasoning_tokens": 3, "files": files})

    events = await stream(client, metadata={"run_id": "r"}, prompt_cache_key="k", max_output_tokens=100)

    for number, event in enumerate(events):
        assert event.sequence_number == number
        EVENT.validate_python(event.model_dump(mode="json", exclude_unset=True), strict=False)
    assert [e.type for e in events if e.type != "response.output_text.delta"] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.annotation.added",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


async def test_the_final_response_is_the_sum_of_its_deltas(client: AsyncOpenAI, provider: Provider):
    await provider.script({"reply_tokens": 300, "delta_tokens": 7})

    events = await stream(client)

    final: Response = events[-1].response
    assert final.output_text == text_of(events) == " ".join(f"t{i}" for i in range(1, 301))
    assert final.usage is not None
    assert final.usage.output_tokens == 300


async def test_the_helper_of_the_sdk_accepts_a_stream(client: AsyncOpenAI):
    async with client.responses.stream(model="sim-1", input="hello") as events:
        final = await events.get_final_response()

    assert final.output_text == "Answer 1 to: hello"


async def test_a_plain_request_gets_a_whole_response(client: AsyncOpenAI):
    response = await client.responses.create(model="sim-1", input=[{"role": "user", "content": "hello you"}])

    assert response.status == "completed"
    assert response.output_text == "Answer 1 to: hello you"
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


async def test_the_output_limit_makes_an_incomplete_response(client: AsyncOpenAI, provider: Provider):
    await provider.script({"reply_tokens": 100, "reasoning_tokens": 10})

    final = (await stream(client, max_output_tokens=30))[-1]

    assert final.type == "response.incomplete"
    assert final.response.incomplete_details.reason == "max_output_tokens"
    assert final.response.usage.output_tokens == 30
    assert final.response.usage.output_tokens_details.reasoning_tokens == 10
    assert final.response.output_text.endswith("t20")


async def test_a_prompt_sent_again_is_read_from_the_cache(client: AsyncOpenAI):
    long = "word " * 2_000
    await client.responses.create(model="sim-1", input=long, prompt_cache_key="k")

    again = await client.responses.create(model="sim-1", input=long, prompt_cache_key="k")

    assert again.usage is not None
    assert again.usage.input_tokens_details.cached_tokens == 1_920


class TestForeground:
    async def test_a_closed_socket_stops_generation(self, client: AsyncOpenAI, provider: Provider):
        await provider.script({"reply_tokens": 1_000, "tokens_per_s": 100})
        events = await client.responses.create(
            model="sim-1", input="x", stream=True, metadata={"run_id": "r"}
        )
        async for event in events:
            if event.type == "response.output_text.delta":
                break
        await events.close()

        cut = await provider.until("r", "cut")
        assert 0 < cut["usage"]["output_tokens"] < 1_000
        await asyncio.sleep(0.1)
        assert await provider.response("r") == cut

    async def test_it_cannot_be_fetched_while_it_runs(self, client: AsyncOpenAI, provider: Provider):
        await provider.script(SLOWER)
        events = await client.responses.create(model="sim-1", input="x", stream=True)
        created: Any = await anext(aiter(events))

        with pytest.raises(NotFoundError):
            await client.responses.retrieve(created.response.id)
        async for _ in events:
            pass
        assert (await client.responses.retrieve(created.response.id)).status == "completed"

    async def test_it_cannot_be_resumed_or_cancelled(self, client: AsyncOpenAI):
        response = await client.responses.create(model="sim-1", input="x")

        with pytest.raises(BadRequestError, match="not created with background=true"):
            await client.responses.retrieve(response.id, stream=True)
        with pytest.raises(BadRequestError):
            await client.responses.cancel(response.id)

    async def test_what_is_not_stored_cannot_be_fetched(self, client: AsyncOpenAI):
        response = await client.responses.create(model="sim-1", input="x", store=False)

        with pytest.raises(NotFoundError):
            await client.responses.retrieve(response.id)


class TestBackground:
    async def start(self, client: AsyncOpenAI, events_read: int) -> tuple[str, list[Any]]:
        """Start a response in the background and leave after some events."""
        events = await client.responses.create(
            model="sim-1", input="x", stream=True, background=True, metadata={"run_id": "r"}
        )
        seen: list[Any] = []
        async for event in events:
            seen.append(event)
            if len(seen) == events_read:
                break
        await events.close()
        return seen[0].response.id, seen

    @pytest.mark.parametrize("events_read", [2, 6, 20])
    async def test_a_resumed_stream_gives_the_rest(
        self, client: AsyncOpenAI, provider: Provider, events_read: int
    ):
        await provider.script(SLOW)
        response_id, seen = await self.start(client, events_read)

        rest = [
            event
            async for event in await client.responses.retrieve(
                response_id, stream=True, starting_after=seen[-1].sequence_number
            )
        ]

        events = seen + rest
        assert [e.sequence_number for e in events] == list(range(len(events)))
        assert text_of(events) == " ".join(f"t{i}" for i in range(1, 41))

    async def test_it_goes_on_without_its_client(self, client: AsyncOpenAI, provider: Provider):
        await provider.script(SLOWER)
        response_id, _ = await self.start(client, 3)

        assert (await client.responses.retrieve(response_id)).status == "in_progress"
        await provider.until("r", "completed")
        response = await client.responses.retrieve(response_id)
        assert response.status == "completed"
        assert response.usage is not None
        assert response.usage.output_tokens == 40

    async def test_a_cancelled_response_reports_no_usage_but_has_cost_something(
        self, client: AsyncOpenAI, provider: Provider
    ):
        await provider.script({"reply_tokens": 1_000, "tokens_per_s": 100})
        response_id, _ = await self.start(client, 20)

        first = await client.responses.cancel(response_id)
        again = await client.responses.cancel(response_id)

        assert first.status == again.status == "cancelled"
        assert again.usage is None
        entry = await provider.response("r")
        assert entry["status"] == "cancelled"
        assert entry["usage"]["output_tokens"] > 0
        assert entry["usage_reported"] is None

    async def test_a_plain_background_request_answers_at_once(self, client: AsyncOpenAI, provider: Provider):
        await provider.script(SLOW)

        response = await client.responses.create(model="sim-1", input="x", background=True)

        assert response.status in ("queued", "in_progress")
        with pytest.raises(BadRequestError, match="not created with stream=true"):
            await client.responses.retrieve(response.id, stream=True)

    async def test_an_ignored_flag_makes_a_foreground_response(self, client: AsyncOpenAI, provider: Provider):
        await provider.script({**SLOWER, "background_ignored": True})

        response_id, seen = await self.start(client, 8)

        assert seen[0].response.background is None
        with pytest.raises(NotFoundError):
            await client.responses.retrieve(response_id)

    async def test_a_stuck_response_stays_queued(self, client: AsyncOpenAI, provider: Provider):
        await provider.script({"fault": "queued"})
        response_id, seen = await self.start(client, 2)

        assert seen[-1].type == "response.queued"
        assert (await client.responses.retrieve(response_id)).status == "queued"

    async def test_it_must_be_stored(self, client: AsyncOpenAI):
        with pytest.raises(BadRequestError):
            await client.responses.create(model="sim-1", input="x", background=True, store=False)


class TestFiles:
    async def test_files_come_by_every_way(self, client: AsyncOpenAI, provider: Provider):
        ways = ("container", "file", "link")
        await provider.script(
            {"files": [{"name": f"{way}.txt", "content": f"by {way}", "cited_as": way} for way in ways]}
        )

        response = await client.responses.create(model="sim-1", input="make files")

        call, message = response.output
        assert call.type == "code_interpreter_call"
        assert message.type == "message"
        [part] = message.content
        assert part.type == "output_text"
        contained, uploaded = part.annotations
        assert contained.type == "container_file_citation"
        assert part.text[contained.start_index : contained.end_index] == "sandbox:/mnt/data/container.txt"
        assert uploaded.type == "file_path"
        assert "[link.txt](sandbox:/mnt/data/link.txt)" in part.text
        fetch = client.containers.files.content.retrieve
        assert (
            await fetch(contained.file_id, container_id=contained.container_id)
        ).content == b"by container"
        assert (await client.files.content(uploaded.file_id)).content == b"by file"
        listed = {f.path: f.id async for f in client.containers.files.list(call.container_id)}
        linked = await fetch(listed["/mnt/data/link.txt"], container_id=call.container_id)
        assert linked.content == b"by link"

    async def test_an_expired_container_has_nothing(self, client: AsyncOpenAI, provider: Provider):
        await provider.script({"files": [{"name": "a.txt", "expired": True}]})
        response = await client.responses.create(model="sim-1", input="x")
        call = response.output[0]
        assert call.type == "code_interpreter_call"
        [file] = [f async for f in client.containers.files.list(call.container_id)]

        with pytest.raises(NotFoundError):
            await client.containers.files.content.retrieve(file.id, container_id=call.container_id)


async def test_models_are_listed(client: AsyncOpenAI):
    assert "sim-1" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("sim-1")).id == "sim-1"


async def test_many_streams_at_once_each_get_their_own(client: AsyncOpenAI, provider: Provider):
    await provider.script({"times": None, "tokens_per_s": 300, "first_token_delay_s": 0.05})

    answers = await asyncio.gather(*(stream(client, input=f"from {i}") for i in range(100)))

    assert [text_of(events) for events in answers] == [f"Answer 1 to: from {i}" for i in range(100)]
