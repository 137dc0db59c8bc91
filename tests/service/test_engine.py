"""The engine against the simulated provider: whole answers, background responses, files."""

import logging
from typing import Any

import pytest

from chat_worker.engine.interface import (
    Delta,
    FileCited,
    Finished,
    ProviderRefused,
    Snapshot,
    Started,
    StreamLost,
    Working,
)
from chat_worker.engine.openai_engine import OpenAIEngine
from common.events.envelope import TokenUsage
from support.engine import listen, spec_of
from support.provider import Provider

ANSWER = {"reply_tokens": 20, "tokens_per_s": 1_000}
WHOLE = " ".join(f"t{i}" for i in range(1, 21))


class TestAWholeAnswer:
    async def test_its_events_and_its_usage(self, engine: OpenAIEngine, provider: Provider):
        await provider.script({**ANSWER, "reasoning_tokens": 7, "input_tokens": 50, "cached_tokens": 40})

        heard = await listen(engine.run(spec_of()))

        assert isinstance(heard.events[0], Started)
        assert heard.events[1] == Working()
        assert heard.text == WHOLE
        assert heard.finished.status == "completed"
        assert heard.finished.usage == TokenUsage(
            input_tokens=50, cached_tokens=40, output_tokens=27, reasoning_tokens=7
        )

    async def test_the_request_carries_what_traces_and_limits_it(
        self, engine: OpenAIEngine, provider: Provider
    ):
        spec = spec_of(attempt=2, params={"model": "another", "store": True, "temperature": 0.5})

        heard = await listen(engine.run(spec))

        entry = await provider.response(spec.run_id)
        assert entry["options"] == {
            "model": "sim-1",
            "stream": True,
            "store": False,
            "temperature": 0.5,
            "max_output_tokens": 100,
            "metadata": {"run_id": spec.run_id, "attempt": "2"},
            "prompt_cache_key": spec.thread_id,
            "safety_identifier": spec.user_ref,
        }
        assert heard.started == Started(entry["id"], background=False)
        assert await engine.retrieve(heard.response_id) is None

    async def test_the_output_limit_makes_it_incomplete(self, engine: OpenAIEngine, provider: Provider):
        await provider.script({"reply_tokens": 200})

        heard = await listen(engine.run(spec_of(max_output_tokens=16)))

        assert heard.finished.status == "incomplete"
        assert heard.finished.usage is not None
        assert heard.finished.usage.output_tokens == 16

    async def test_a_refusal_is_text(self, engine: OpenAIEngine, provider: Provider):
        await provider.script({"refusal": True, "reply": "I will not."})

        assert (await listen(engine.run(spec_of()))).text == "I will not."

    async def test_a_peer_with_less_than_the_specification(self, engine: OpenAIEngine, provider: Provider):
        peer = {"sequence_numbers": False, "usage": "no_details", "noise": True, "background_ignored": True}
        await provider.script({**ANSWER, **peer})

        heard = await listen(engine.run(spec_of(background=True)))

        assert heard.started.background is False
        assert heard.text == WHOLE
        assert heard.finished.usage is not None
        assert heard.finished.usage.output_tokens == 20
        assert heard.finished.usage.cached_tokens == 0

    async def test_usage_may_be_missing(self, engine: OpenAIEngine, provider: Provider):
        await provider.script({**ANSWER, "usage": "missing"})

        assert (await listen(engine.run(spec_of()))).finished == Finished("completed", None)

    async def test_connections_are_used_again(self, engine: OpenAIEngine, provider: Provider):
        await provider.script({"times": 3, "end_delay_s": 0.05})

        for _ in range(3):
            await listen(engine.run(spec_of()))

        assert (await provider.journal())["connections"] == 1


class TestBackground:
    @pytest.mark.parametrize("fault", ["cut", "eof", "stall"])
    async def test_a_lost_stream_is_taken_up_from_its_beginning(
        self, engine: OpenAIEngine, provider: Provider, fault: str
    ):
        await provider.script({**ANSWER, "tokens_per_s": 100, "fault": fault, "after_deltas": 5})
        lost = await listen(engine.run(spec_of(background=True)))
        assert isinstance(lost.error, StreamLost)

        heard = await listen(engine.resume(lost.response_id))

        assert heard.started == lost.started
        assert heard.text == WHOLE
        assert heard.finished.usage is not None

    async def test_a_stream_may_be_lost_again_and_again(self, engine: OpenAIEngine, provider: Provider):
        await provider.script({**ANSWER, "fault": "cut", "after_deltas": 5, "resume_faults": 2})
        lost = await listen(engine.run(spec_of(background=True)))

        tries = [await listen(engine.resume(lost.response_id)) for _ in range(3)]

        assert [type(heard.error) for heard in tries] == [StreamLost, StreamLost, type(None)]
        assert tries[-1].text == WHOLE

    async def test_it_waits_in_the_queue_until_the_provider_begins(
        self, engine: OpenAIEngine, provider: Provider
    ):
        await provider.script({"fault": "queued"})

        heard = await listen(engine.run(spec_of(background=True)))

        assert heard.events == [heard.started]
        assert isinstance(heard.error, StreamLost)
        snapshot = await engine.retrieve(heard.response_id)
        assert snapshot == Snapshot(text="", finished=None)

    async def test_a_foreground_response_cannot_be_taken_up(self, engine: OpenAIEngine):
        heard = await listen(engine.run(spec_of()))

        again = await listen(engine.resume(heard.response_id))

        assert isinstance(again.error, ProviderRefused)
        assert again.error.error.code == "not_streamable"
        assert await engine.cancel(heard.response_id) is None

    async def test_its_stored_answer_is_the_streamed_one(self, engine: OpenAIEngine, provider: Provider):
        await provider.script({**ANSWER, "files": [{"name": "a.csv", "content": "1"}]})
        heard = await listen(engine.run(spec_of(background=True)))

        snapshot = await engine.retrieve(heard.response_id)

        assert snapshot is not None
        assert snapshot.text == heard.text
        assert snapshot.finished == heard.finished
        assert list(snapshot.files) == heard.files

    async def test_its_stored_answer_has_the_files_that_it_only_links(
        self, engine: OpenAIEngine, provider: Provider
    ):
        await provider.script({"reply": "Here.", "files": [{"name": "a.csv", "cited_as": "link"}]})
        heard = await listen(engine.run(spec_of(background=True)))

        snapshot = await engine.retrieve(heard.response_id)

        assert snapshot is not None
        assert [file.name for file in snapshot.files] == ["a.csv"]
        assert list(snapshot.files) == heard.files

    @pytest.mark.parametrize("told", [False, True])
    async def test_cancelling_tells_the_usage_if_the_provider_does(
        self, engine: OpenAIEngine, provider: Provider, *, told: bool
    ):
        await provider.script({"reply_tokens": 1_000, "tokens_per_s": 100, "usage_when_cancelled": told})
        spec = spec_of(background=True, max_output_tokens=5_000)
        heard = await listen(engine.run(spec), until=Delta)

        first = await engine.cancel(heard.response_id)
        again = await engine.cancel(heard.response_id)

        assert first is not None
        assert first == again
        assert first.finished is not None
        assert first.finished.status == "cancelled"
        assert (first.finished.usage is not None) is told
        assert (await provider.response(spec.run_id))["status"] == "cancelled"

    async def test_cancelling_what_is_complete_returns_the_answer(
        self, engine: OpenAIEngine, provider: Provider
    ):
        await provider.script(ANSWER)
        heard = await listen(engine.run(spec_of(background=True)))

        snapshot = await engine.cancel(heard.response_id)

        assert snapshot is not None
        assert snapshot.text == WHOLE
        assert snapshot.finished == heard.finished

    async def test_leaving_it_does_not_stop_it(self, engine: OpenAIEngine, provider: Provider):
        await provider.script({**ANSWER, "tokens_per_s": 200})
        spec = spec_of(background=True)
        heard = await listen(engine.run(spec), until=Delta)

        await provider.until(spec.run_id, "completed")

        snapshot = await engine.retrieve(heard.response_id)
        assert snapshot is not None
        assert snapshot.text == WHOLE

    async def test_an_unknown_response_is_none(self, engine: OpenAIEngine):
        assert await engine.retrieve("resp_unknown") is None
        assert await engine.cancel("resp_unknown") is None


class TestFiles:
    WAYS = ("container", "file", "link")

    async def cite(self, engine: OpenAIEngine, provider: Provider, **options: Any) -> list[FileCited]:
        files = [
            {"name": f"{way}.txt", "content": f"by {way}", "cited_as": way, **options} for way in self.WAYS
        ]
        await provider.script({"reply": "Here.", "files": files})
        return (await listen(engine.run(spec_of()))).files

    async def test_files_are_found_and_fetched_however_they_are_cited(
        self, engine: OpenAIEngine, provider: Provider
    ):
        files = await self.cite(engine, provider)

        contents = {file.name: await engine.download(file, bytes_max=100) for file in files}

        assert contents == {f"{way}.txt": f"by {way}".encode() for way in self.WAYS}

    async def test_a_file_beyond_the_limit_is_refused(self, engine: OpenAIEngine, provider: Provider):
        [file, *_] = await self.cite(engine, provider)

        with pytest.raises(ProviderRefused) as refused:
            await engine.download(file, bytes_max=3)

        assert refused.value.error.code == "file_too_large"

    async def test_a_file_that_expired_is_gone(self, engine: OpenAIEngine, provider: Provider):
        [file, *_] = await self.cite(engine, provider, expired=True)

        with pytest.raises(ProviderRefused) as refused:
            await engine.download(file, bytes_max=100)

        assert refused.value.error.code == "file_gone"


async def test_the_sdk_never_logs_requests(engine: OpenAIEngine):
    assert logging.getLogger("openai").getEffectiveLevel() >= logging.WARNING
