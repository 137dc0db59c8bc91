"""Exchanging a token for the cookie, and when the cookie counts."""

from urllib.parse import quote

import httpx
import pytest

from gateway.context import Services
from support.gateway_app import bearer, gateway_client, gateway_services, session_of

THREAD = "t_" + "0" * 32
MESSAGE = "m_" + "0" * 32
CHANGING_GET = f"/chat/flag?t={THREAD}&m=nonsense"
"""Answers 400 behind the session check, and 401 before it."""
CHANGING_POST = "/chat/messages/nonsense/flag"
ORIGIN = "http://127.0.0.1:8080"


@pytest.fixture
def services() -> Services:
    return gateway_services()


@pytest.fixture
async def client(services: Services):
    async with gateway_client(services) as client:
        yield client


def cookie(services: Services) -> dict[str, str]:
    return {"Cookie": f"session={session_of(services)}"}


class TestExchange:
    @pytest.mark.parametrize("way", ["query", "bearer", "body"])
    async def test_a_token_becomes_a_cookie(self, client: httpx.AsyncClient, services: Services, way: str):
        token = session_of(services, role="operator", name="Ada")
        match way:
            case "query":
                answer = await client.post("/chat/session", params={"s": token})
            case "bearer":
                answer = await client.post("/chat/session", headers=bearer(token))
            case _:
                answer = await client.post("/chat/session", json={"s": token})

        assert answer.status_code == 200
        assert answer.json()["session"] == {
            "sub": "u1",
            "name": "Ada",
            "role": "operator",
            "expires_at": "2026-11-22T13:00:00.000Z",
        }
        header = answer.headers["set-cookie"]
        assert header == f"session={token}; HttpOnly; Max-Age=3600; Path=/; SameSite=lax"

    async def test_behind_https_the_cookie_is_bound_to_the_host(self):
        services = gateway_services(dist_url="https://chat.example")
        async with gateway_client(services) as client:
            answer = await client.post("/chat/session", headers=bearer(session_of(services)))
            header = answer.headers["set-cookie"]
            read = await client.get("/chat/file?id=f_" + "0" * 31, headers={"Cookie": header.split(";")[0]})
        assert header.startswith("__Host-session=")
        assert "; Secure" in header
        assert read.status_code == 400

    async def test_without_a_token_nothing_is_set(self, client: httpx.AsyncClient):
        answer = await client.post("/chat/session")
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers

    async def test_a_token_too_long_for_a_cookie_is_named(
        self, client: httpx.AsyncClient, services: Services
    ):
        token = session_of(services, pad="x" * 4_000)
        assert (await client.post("/chat/session", headers=bearer(token))).status_code == 400

    async def test_a_foreign_page_cannot_sign_its_reader_in(
        self, client: httpx.AsyncClient, services: Services
    ):
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        answer = await client.post("/chat/session", json={"s": session_of(services)}, headers=headers)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers

    async def test_a_sign_in_link_leaves_no_token_in_the_address(
        self, client: httpx.AsyncClient, services: Services
    ):
        answer = await client.get("/", params={"s": session_of(services)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
        assert answer.headers["set-cookie"].startswith("session=")

    async def test_a_forged_sign_in_link_is_refused(self, client: httpx.AsyncClient):
        answer = await client.get("/?s=" + quote("a.b.c"))
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


class TestCookie:
    async def test_opens_what_only_reads(self, client: httpx.AsyncClient, services: Services):
        answer = await client.get("/chat/file?id=nonsense", headers=cookie(services))
        assert answer.status_code == 400

    @pytest.mark.parametrize("site", [None, "cross-site", "same-site", "none"])
    async def test_alone_does_not_open_a_get_that_changes_something(
        self, client: httpx.AsyncClient, services: Services, site: str | None
    ):
        headers = cookie(services) | ({"Sec-Fetch-Site": site} if site else {})
        assert (await client.get(CHANGING_GET, headers=headers)).status_code == 401

    async def test_opens_a_get_that_changes_something_for_our_own_page(
        self, client: httpx.AsyncClient, services: Services
    ):
        headers = cookie(services) | {"Sec-Fetch-Site": "same-origin"}
        assert (await client.get(CHANGING_GET, headers=headers)).status_code == 400

    async def test_a_token_in_the_address_needs_no_page(self, client: httpx.AsyncClient, services: Services):
        answer = await client.get(f"{CHANGING_GET}&s={session_of(services)}")
        assert answer.status_code == 400

    async def test_a_prefetch_changes_nothing(self, client: httpx.AsyncClient, services: Services):
        headers = bearer(session_of(services)) | {"Sec-Purpose": "prefetch;prerender"}
        answer = await client.get(f"/chat/flag?t={THREAD}&m={MESSAGE}", headers=headers)
        assert answer.status_code == 400
        assert "prefetch" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
            {"Origin": "https://evil.example"},
            {"Origin": ORIGIN + ".evil.example"},
        ],
        ids=str,
    )
    async def test_a_post_from_a_foreign_page_is_refused(
        self, client: httpx.AsyncClient, services: Services, headers: dict[str, str]
    ):
        answer = await client.post(CHANGING_POST, json={}, headers=cookie(services) | headers)
        assert answer.status_code == 401

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Sec-Fetch-Site": "same-origin"},
            {"Origin": ORIGIN},
            {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
        ],
        ids=str,
    )
    async def test_a_post_from_our_own_page_is_taken(
        self, client: httpx.AsyncClient, services: Services, headers: dict[str, str]
    ):
        answer = await client.post(CHANGING_POST, json={}, headers=cookie(services) | headers)
        assert answer.status_code == 400
