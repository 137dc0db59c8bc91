"""The engine against the simulated provider: what comes of every fault that a provider can have."""

import asyncio
from typing import Any

import pytest

from chat_worker.engine.interface import (
    Delta,
    InputTooLong,
    ProviderAmbiguous,
    ProviderBusy,
    ProviderRefused,
    StreamLost,
)
from chat_worker.engine.openai_engine import OpenAIEngine
from support.engine import API_KEY, connected_engine, listen, spec_of
from support.processes import free_port
from support.provider import Provider

ANSWER = {"reply_tokens": 20, "tokens_per_s": 1_000}
WHOLE = " ".join(f"t{i}" for i in range(1, 21))


class TestBeforeTheAnswer:
    @pytest.mark.parametrize(
        ("behaviour", "code", "retry_after_s"),
        [
            ({"status": 429, "code": "rate_limit_exceeded", "retry_after_s": 7}, "provider_busy", 7),
            ({"status": 500}, "provider_down", None),
            ({"status": 503, "retry_after_s": 0.5}, "provider_down", 0.5),
        ],
    )
    async def test_what_may_be_tried_again(
        self,
        engine: OpenAIEngine,
        provider: Provider,
        behaviour: dict[str, Any],
        code: str,
        retry_after_s: float | None,
    ):
        await provider.script(behaviour)
        spec = spec_of()

        heard = await listen(engine.run(spec))

        assert isinstance(heard.error, ProviderBusy)
        assert heard.error.error.code == code
        assert heard.error.retry_after_s == retry_after_s
        assert (await provider.journal(spec.run_id))["posts"] == {spec.run_id: 1}

    @pytest.mark.parametrize(
        ("behaviour", "code"),
        [
            ({"status": 429, "code": "insufficient_quota"}, "provider_quota_exhausted"),
            ({"status": 401, "code": "invalid_api_key"}, "provider_key_rejected"),
            ({"status": 403}, "provider_key_rejected"),
            ({"status": 404, "code": "model_not_found"}, "model_not_found"),
            ({"status": 400, "code": "context_length_exceeded"}, "context_too_long"),
            ({"status": 400, "code": "invalid_prompt"}, "declined"),
            ({"status": 400}, "request_rejected"),
            ({"status": 422}, "request_rejected"),
        ],
    )
    async def test_what_will_never_work(
        self,
        engine: OpenAIEngine,
        provider: Provider,
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
        behaviour: dict[str, Any],
        code: str,
    ):
        await provider.script(behaviour)

        heard = await listen(engine.run(spec_of()))

        assert isinstance(heard.error, ProviderRefused)
        assert heard.error.error.code == code
        assert not heard.error.error.retryable
        written = heard.error.error.message + str(heard.error) + caplog.text + "".join(capsys.readouterr())
        assert API_KEY not in written
        assert heard.error.__cause__ is None
        assert heard.error.__suppress_context__

    @pytest.mark.parametrize("behaviour", [{"status": 400}, {"fault": "error_first"}])
    async def test_a_conversation_that_is_too_long_is_told_apart(
        self, engine: OpenAIEngine, provider: Provider, behaviour: dict[str, Any]
    ):
        await provider.script({**behaviour, "code": "context_length_exceeded"})

        assert isinstance((await listen(engine.run(spec_of()))).error, InputTooLong)

    async def test_a_redirect_is_not_followed(self, provider: Provider):
        followed: list[bytes] = []

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            followed.append(await reader.readline())
            writer.write(
                b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nConnection: close\r\n"
                b"Location: " + f"{provider.base_url}/responses".encode() + b"\r\n\r\n"
            )
            await writer.drain()
            writer.close()

        spec = spec_of()
        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connected_engine(f"http://127.0.0.1:{port}/v1") as engine:
                heard = await listen(engine.run(spec))

        assert isinstance(heard.error, ProviderRefused)
        assert len(followed) == 1
        assert (await provider.journal(spec.run_id))["posts"] == {spec.run_id: 0}

    async def test_nobody_listens(self):
        async with connected_engine(f"http://127.0.0.1:{free_port()}/v1") as engine:
            heard = await listen(engine.run(spec_of()))

        assert isinstance(heard.error, ProviderBusy)

    @pytest.mark.parametrize("fault", ["reset", "hang"])
    async def test_sent_and_not_answered_is_ambiguous(
        self, engine: OpenAIEngine, provider: Provider, fault: str
    ):
        await provider.script({"fault": fault})
        spec = spec_of()

        heard = await listen(engine.run(spec))

        assert isinstance(heard.error, ProviderAmbiguous)
        assert (await provider.journal(spec.run_id))["posts"] == {spec.run_id: 1}

    async def test_an_error_in_place_of_a_response_may_be_tried_again(
        self, engine: OpenAIEngine, provider: Provider
    ):
        await provider.script(
            {"fault": "error_first", "code": "rate_limit_exceeded"},
            {"fault": "error_first", "code": "invalid_prompt"},
        )

        busy, declined = await listen(engine.run(spec_of())), await listen(engine.run(spec_of()))

        assert isinstance(busy.error, ProviderBusy)
        assert declined.finished.status == "failed"

    async def test_a_timeout_of_a_gateway_is_ambiguous(self, engine: OpenAIEngine, provider: Provider):
        await provider.script({"status": 504})

        assert isinstance((await listen(engine.run(spec_of()))).error, ProviderAmbiguous)


class TestWhileItStreams:
    @pytest.mark.parametrize("fault", ["cut", "fin", "eof", "stall", "malformed"])
    @pytest.mark.parametrize("background", [False, True])
    async def test_a_broken_stream_is_lost_and_keeps_its_text(
        self, engine: OpenAIEngine, provider: Provider, fault: str, *, background: bool
    ):
        await provider.script({**ANSWER, "fault": fault, "after_deltas": 5})

        heard = await listen(engine.run(spec_of(background=background)))

        assert isinstance(heard.error, StreamLost)
        assert heard.started.background is background
        assert WHOLE.startswith(heard.text)
        # A reset may overtake what was sent before it.
        assert heard.text == "t1 t2 t3 t4 t5" or fault == "cut"

    @pytest.mark.parametrize("fault", ["error", "error_nested", "failed"])
    @pytest.mark.parametrize(
        ("code", "told"),
        [
            ("server_error", "provider_failed"),
            ("rate_limit_exceeded", "provider_busy"),
            ("invalid_prompt", "declined"),
            ("never_heard_of", "provider_failed"),
        ],
    )
    async def test_a_failure_is_an_end(
        self, engine: OpenAIEngine, provider: Provider, fault: str, code: str, told: str
    ):
        await provider.script({**ANSWER, "fault": fault, "after_deltas": 3, "code": code})

        heard = await listen(engine.run(spec_of()))

        assert heard.text == "t1 t2 t3"
        assert heard.finished.status == "failed"
        assert heard.finished.error is not None
        assert heard.finished.error.code == told
        assert "sk-do-not-show" not in heard.finished.error.message

    @pytest.mark.parametrize(
        "end",
        [
            b'{"type": "error", "code": "rate_limit_exceeded"}',
            b'{"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}',
            b'{"type": "error", "code": "context_length_exceeded"}',
        ],
    )
    async def test_a_failure_after_some_text_is_an_end_though_no_response_was_announced(self, end: bytes):
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await reader.read(65536)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
                b'data: {"type": "response.output_text.delta", "delta": "Hello wo"}\n\n'
                b"data: " + end + b"\n\n"
            )
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connected_engine(f"http://127.0.0.1:{port}/v1") as engine:
                heard = await listen(engine.run(spec_of()))

        assert (heard.text, heard.finished.status) == ("Hello wo", "failed")

    @pytest.mark.parametrize(("usage", "told"), [("full", 3), ("missing", None)])
    async def test_a_failed_response_may_tell_its_usage(
        self, engine: OpenAIEngine, provider: Provider, usage: str, told: int | None
    ):
        await provider.script({**ANSWER, "fault": "failed", "after_deltas": 3, "usage": usage})

        finished = (await listen(engine.run(spec_of()))).finished

        assert (finished.usage and finished.usage.output_tokens) == told

    @pytest.mark.parametrize("how", ["closed", "cancelled"])
    async def test_leaving_a_foreground_stream_stops_the_generation(
        self, engine: OpenAIEngine, provider: Provider, how: str
    ):
        await provider.script({"reply_tokens": 10_000, "tokens_per_s": 100})
        spec = spec_of(max_output_tokens=10_000)

        if how == "closed":
            await listen(engine.run(spec), until=Delta)
        else:
            task = asyncio.create_task(listen(engine.run(spec)))
            await provider.until(spec.run_id, "in_progress")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        await provider.until(spec.run_id, "cut")

    async def test_a_stream_that_nobody_reads_sends_nothing(self, engine: OpenAIEngine, provider: Provider):
        spec = spec_of()

        await engine.run(spec).aclose()

        assert (await provider.journal(spec.run_id))["posts"] == {spec.run_id: 0}
