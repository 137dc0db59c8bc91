"""What surrounds every route."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import structlog
from starlette.types import Message, Receive, Scope, Send

from common.clock import SystemClock
from gateway.middleware.access_log import AccessLog
from gateway.middleware.send_timeout import ABORT, SendTimeout, SlowReader
from support.gateway_app import bearer, gateway_client, gateway_services, session_of

PAGE = "https://chat.example"
CRM = "https://crm.example"


@pytest.fixture(scope="module")
async def client():
    services = gateway_services(dist_url=PAGE, int_url=f"{CRM}/some/page")
    async with gateway_client(services) as client:
        client.headers.update(bearer(session_of(services)))
        yield client


class TestSizes:
    @pytest.mark.parametrize("size", [8 * 1024 + 1, 60_000])
    async def test_a_long_address_is_refused(self, client: httpx.AsyncClient, size: int):
        path = "/chat/threads?q="
        answer = await client.get(path + "a" * (size - len(path) + 1))
        assert (answer.status_code, answer.json()["code"]) == (414, "uri_too_long")

    async def test_an_address_at_the_limit_is_taken(self, client: httpx.AsyncClient):
        path = "/nope?"
        answer = await client.get(path + "a" * (8 * 1024 - len(path) + 1))
        assert answer.status_code == 404

    async def test_a_large_body_is_refused(self, client: httpx.AsyncClient):
        answer = await client.post("/chat/threads", content=b"x" * (64 * 1024 + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    async def test_a_body_at_the_limit_is_read(self, client: httpx.AsyncClient):
        answer = await client.post("/chat/threads", content=b"x" * (64 * 1024))
        assert answer.status_code == 400

    async def test_a_large_body_in_chunks_is_refused_before_its_end(self, client: httpx.AsyncClient):
        sent = 0

        async def endless() -> AsyncGenerator[bytes]:
            nonlocal sent
            while True:
                sent += 1
                yield b"x" * 1024

        answer = await client.post("/chat/threads", content=endless())
        assert answer.status_code == 413
        assert sent <= 66

    @pytest.mark.parametrize("declared", ["1", "0", "-1", "abc"])
    async def test_a_lying_content_length_changes_nothing(self, client: httpx.AsyncClient, declared: str):
        answer = await client.post(
            "/chat/threads", content=b"x" * 70_000, headers={"Content-Length": declared}
        )
        assert answer.status_code == 413

    async def test_a_body_that_only_claims_to_be_large_is_refused(self, client: httpx.AsyncClient):
        answer = await client.post("/chat/threads", content=b"{}", headers={"Content-Length": "9" * 30})
        assert answer.status_code == 413

    @pytest.mark.parametrize("path", ["/int/tokens", "/dashboard/overall/resume"])
    @pytest.mark.parametrize("is_chunked", [True, False])
    async def test_the_integration_and_reports_may_have_a_mebibyte(self, path: str, *, is_chunked: bool):
        services = gateway_services(int_user="crm", int_password="p")

        async def post(kib: int, authorization: str, more: bytes = b"") -> int:
            async def parts() -> AsyncGenerator[bytes]:
                nonlocal sent
                for part in (*[b"x" * 1024] * kib, more):
                    sent += len(part)
                    yield part

            content = parts() if is_chunked else b"x" * 1024 * kib + more
            answer = await client.post(path, content=content, headers={"Authorization": authorization})
            return answer.status_code

        session, sent = session_of(services, role="operator"), 0
        allowed = "Basic Y3JtOnA=" if path.startswith("/int/") else f"Bearer {session}"
        async with gateway_client(services) as client:
            assert await post(1024, allowed) == 400
            assert await post(1024, allowed, b"x") == 413
            sent = 0
            # From a stranger, nothing of it is kept.
            assert await post(1024, "Basic Y3JtOng=") == 401
            assert await post(1024, f"Bearer {session_of(services)}") in {401, 403}
            assert sent == 0

    async def test_a_report_of_a_stranger_says_where_to_sign_in(self, client: httpx.AsyncClient):
        answer = await client.post("/dashboard/overall/resume", content=b"x" * 70_000, headers=bearer("no"))
        assert answer.status_code == 401
        assert "login_url" in answer.json()


class TestHeaders:
    @pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/nope", "/chat/file", "/health/live", "/"])
    async def test_every_answer_is_closed_by_default(self, client: httpx.AsyncClient, path: str):
        headers = (await client.get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; base-uri 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "permissions-policy" in headers
        assert headers["strict-transport-security"].startswith("max-age=")
        assert headers["x-request-id"].startswith("q_")

    async def test_without_https_nobody_is_told_to_insist_on_it(self):
        async with gateway_client(gateway_services()) as client:
            assert "strict-transport-security" not in (await client.get("/docs")).headers


class TestOtherOrigins:
    async def preflight(self, client: httpx.AsyncClient, path: str, origin: str) -> httpx.Response:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return await client.options(path, headers=headers)

    async def test_the_public_origin_may_call_with_its_cookie(self, client: httpx.AsyncClient):
        answer = await self.preflight(client, "/chat/messages", PAGE)
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-allow-credentials"] == "true"

    async def test_the_integrations_origin_reaches_int_only_and_without_a_cookie(
        self, client: httpx.AsyncClient
    ):
        answer = await self.preflight(client, "/int/tokens", CRM)
        assert answer.headers["access-control-allow-origin"] == CRM
        assert "access-control-allow-credentials" not in answer.headers
        assert (
            "access-control-allow-origin" not in (await self.preflight(client, "/chat/messages", CRM)).headers
        )

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", f"{PAGE}.evil.example", "http://chat.example"]
    )
    @pytest.mark.parametrize("path", ["/chat/messages", "/int/tokens"])
    async def test_no_other_origin_is_let_in(self, client: httpx.AsyncClient, path: str, origin: str):
        assert "access-control-allow-origin" not in (await self.preflight(client, path, origin)).headers
        answer = await client.get("/chat/file", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers


async def test_neither_session_nor_message_reaches_a_log_line_or_a_metric():
    services = gateway_services()
    canary = "canary-4711"
    token = session_of(services, name=canary)
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        async with gateway_client(services) as client:
            await client.get(f"/chat/message?t=nope&m={canary}&s={token}")
            await client.get(f"/chat/flag?t=nope&m={canary}&s={canary}")
            await client.get(f"/{canary}?s={token}")
            await client.post("/chat/threads", json={"title": 7, canary: canary}, headers=bearer(token))
            metrics = (await client.get("/metrics")).text
    assert len([line for line in logs if line["event"] == "request"]) == 5
    for secret in (canary, token):
        assert secret not in str(logs)
        assert secret not in metrics


async def test_a_request_is_logged_with_its_route_and_its_user():
    services = gateway_services()
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        async with gateway_client(services) as client:
            await client.get("/chat/threads/nonsense", headers=bearer(session_of(services, "u7")))
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["route"], line["method"], line["status"]) == ("/chat/threads/{thread_id}", "GET", 400)
    assert line["user_id"] == "u7"
    assert line["request_id"].startswith("q_")


async def test_a_request_that_a_stopping_server_cuts_off_is_answered_as_unavailable():
    sent: list[Message] = []
    begun = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}
    request = asyncio.create_task(AccessLog(endless, SystemClock())(scope, receive, send))
    await begun.wait()
    request.cancel()
    await asyncio.wait({request})
    start, body = sent
    assert start["status"] == 503
    assert b"unavailable" in body["body"]


async def test_a_client_that_does_not_read_is_cut():
    aborted: list[bool] = []
    forever = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await forever.wait()

    scope: dict[str, Any] = {"type": "http", ABORT: lambda: aborted.append(True)}
    with pytest.raises(SlowReader):
        await SendTimeout(endless, timeout_s=0.01)(scope, receive, send)
    assert aborted == [True]
