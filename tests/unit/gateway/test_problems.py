"""Every error has one shape, and gives nothing away."""

import httpx
import pytest
import structlog
from pymongo.errors import AutoReconnect, OperationFailure
from redis.exceptions import ConnectionError as RedisConnectionError

from common.errors import AppError, InsufficientBalance, RateLimited, ThreadBusy, Unavailable
from gateway.app import api_description, create_app
from gateway.policy import PUBLIC
from support.gateway_app import bearer, gateway_client, gateway_services, session_of

RAISED = {
    "busy": ThreadBusy(),
    "poor": InsufficientBalance("You have 5 tokens", available=5, next_grant_at=None),
    "rate": RateLimited(retry_after_s=17),
    "away": Unavailable(),
    "database": AutoReconnect("mongo://user:secret@host went away"),
    "redis": RedisConnectionError("redis went away"),
    "bad query": OperationFailure("no such operator: s3cret"),
    "bug": RuntimeError("the secret is s3cret"),
    "bug elsewhere": AppError(),
}


@pytest.fixture(scope="module")
async def client():
    services = gateway_services()
    app = create_app(services)

    async def fail(name: str) -> None:
        raise RAISED[name]

    app.add_api_route("/fail", fail, dependencies=[PUBLIC])
    async with gateway_client(services, app) as client:
        client.headers.update(bearer(session_of(services)))
        yield client


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    body = answer.json()
    return (
        answer.status_code == body["status"] == status
        and body["code"] == code
        and body["type"] == f"/docs#{code}"
        and bool(body["title"])
        and bool(body["detail"])
        and answer.headers["content-type"] == "application/problem+json"
    )


@pytest.mark.parametrize(
    ("name", "status", "code", "retry_after"),
    [
        ("busy", 409, "thread_busy", None),
        ("poor", 429, "insufficient_balance", "60"),
        ("rate", 429, "rate_limited", "17"),
        ("away", 503, "unavailable", "5"),
        ("database", 503, "unavailable", "5"),
        ("redis", 503, "unavailable", "5"),
        ("bad query", 500, "internal", None),
        ("bug", 500, "internal", None),
        ("bug elsewhere", 500, "internal", None),
    ],
)
async def test_what_is_raised_becomes_a_problem(
    client: httpx.AsyncClient, name: str, status: int, code: str, retry_after: str | None
):
    answer = await client.get("/fail", params={"name": name})
    assert is_problem(answer, status, code)
    assert answer.headers.get("retry-after") == retry_after
    assert "secret" not in answer.text
    assert "s3cret" not in answer.text


async def test_what_the_error_knows_is_beside_its_code(client: httpx.AsyncClient):
    body = (await client.get("/fail", params={"name": "poor"})).json()
    assert (body["detail"], body["available"], body["next_grant_at"]) == ("You have 5 tokens", 5, None)


async def test_a_bug_carries_the_id_of_its_log_line_and_no_stack(client: httpx.AsyncClient):
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        answer = await client.get("/fail", params={"name": "bug"})
    (line,) = [line for line in logs if line["event"] == "request_failed"]
    assert answer.json()["id"] == line["request_id"] == answer.headers["x-request-id"]
    assert "RuntimeError" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_so_does_the_failure_of_another_service(client: httpx.AsyncClient):
    answer = await client.get("/fail", params={"name": "bug elsewhere"})
    assert answer.json()["id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "path", ["/nope", "/chat", "/chat/threads/", "/dashboard/nope", "/%00", "/../etc", "/chat/threads/..%2f"]
)
async def test_an_unknown_address_is_not_found(client: httpx.AsyncClient, path: str):
    assert is_problem(await client.get(path), 404, "not_found")


async def test_a_known_address_with_another_method_says_which_work(client: httpx.AsyncClient):
    answer = await client.put("/chat/session")
    assert is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


ID = "0" * 32


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/chat/file", "id"),
        ("GET", "/chat/file?id=", "id"),
        ("GET", "/chat/file?id[$gt]=", "id"),
        ("GET", f"/chat/file?id=m_{ID}", "id"),
        ("GET", f"/chat/file?id=f_{ID}%00", "id"),
        ("GET", f"/chat/file?id=f_{ID}%0a", "id"),
        ("GET", f"/chat/flag?t=t_{ID}", "m"),
        ("GET", f"/chat/flag?m=m_{ID}", "t"),
        ("GET", f"/chat/flag?t=t_{ID}&m=m_{ID.upper()}X", "m"),
        ("GET", "/chat/threads?limit=0", "limit"),
        ("GET", "/chat/threads?limit=201", "limit"),
        ("GET", "/chat/threads?limit=1e1", "limit"),
        ("GET", "/chat/threads?limit=NaN", "limit"),
        ("GET", f"/chat/threads?limit={'9' * 5000}", "limit"),
        ("GET", "/chat/threads?cursor=!!!", "cursor"),
        ("GET", "/chat/threads?cursor=AAAA", "cursor"),
        ("GET", "/chat/threads?cursor=" + "A" * 201, "cursor"),
        ("GET", "/chat/threads?q=" + "a" * 201, "q"),
        ("GET", "/chat/threads?q=%00", "q"),
        ("GET", "/chat/threads/nonsense", "thread_id"),
        ("GET", f"/chat/threads/t_{ID}x", "thread_id"),
        ("DELETE", f"/chat/messages/t_{ID}/flag", "message_id"),
    ],
)
async def test_a_malformed_parameter_is_named(client: httpx.AsyncClient, method: str, path: str, name: str):
    answer = await client.request(method, path)
    assert is_problem(answer, 400, "malformed")
    assert [item["name"] for item in answer.json()["parameters"]] == [name]


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/chat/threads", b'{"title": {"$gt": ""}}', "title"),
        ("/chat/threads", b'{"title": ["a"]}', "title"),
        ("/chat/threads", b'{"title": 7}', "title"),
        ("/chat/threads", b'{"title": NaN}', "title"),
        ("/chat/threads", b'{"title": ""}', "title"),
        ("/chat/threads", b'{"title": "a\\u0000b"}', "title"),
        ("/chat/threads", b'{"title": "\\ud800"}', "title"),
        ("/chat/threads", b'{"title": "x", "user_id": "u2"}', "user_id"),
        ("/chat/threads", b'{"$set": {"user_id": "u2"}}', "$set"),
        ("/chat/threads", b"[]", "body"),
        ("/chat/threads", b'"text"', "body"),
        ("/chat/threads", b"{", "1"),
        ("/chat/threads", b"\xff\xfe", None),
        ("/chat/threads", b"[" * 60_000, None),
        (f"/chat/messages/m_{ID}/flag", b'{"reasons": "spam"}', "reasons"),
        (f"/chat/messages/m_{ID}/flag", b'{"reasons": [{"$gt": ""}]}', "reasons.0"),
        (f"/chat/messages/m_{ID}/flag", b'{"reasons": [""]}', "reasons.0"),
        (f"/chat/messages/m_{ID}/flag", b'{"note": 1e400}', "note"),
        (f"/chat/messages/m_{ID}/flag", b'{"at": "now"}', "at"),
        (f"/chat/messages/m_{ID}/flag", b"", "body"),
        (f"/chat/messages/m_{ID}/flag", b"null", "body"),
    ],
)
async def test_a_malformed_body_is_refused_and_not_repeated(
    client: httpx.AsyncClient, path: str, body: bytes, name: str | None
):
    answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 400, "malformed")
    if name is not None:
        assert name in [item["name"] for item in answer.json()["parameters"]]
    assert "u2" not in answer.text


async def test_a_body_of_another_type_is_refused(client: httpx.AsyncClient):
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = await client.post(
            f"/chat/messages/m_{ID}/flag", content=b'{"reasons": []}', headers={"Content-Type": media_type}
        )
        assert is_problem(answer, 400, "malformed")


async def test_the_description_lists_problems_and_ways_in(client: httpx.AsyncClient):
    schema = (await client.get("/openapi.json")).json()
    operation = schema["paths"]["/chat/threads"]["post"]
    assert "422" not in operation["responses"]
    assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert {"session_as_bearer": []} in operation["security"]
    assert schema["paths"]["/chat/session"]["post"]["security"] == []
    assert operation["x-policy"] == "user"


async def test_the_page_of_the_description_runs_nothing_and_loads_nothing(client: httpx.AsyncClient):
    answer = await client.get("/docs")
    assert answer.status_code == 200
    assert "/chat/threads" in answer.text
    assert 'id="insufficient_balance"' in answer.text
    for policy in ("open to all", "a session", "an operator&#x27;s session", "the integration"):
        assert policy in answer.text
    assert "<script" not in answer.text
    assert "//" not in answer.text.replace("http://", "")
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]


def test_every_error_that_the_gateway_can_answer_is_described():
    codes = {
        error.code for error in _below(AppError) if error.__module__.split(".")[0] in {"common", "gateway"}
    }
    assert "publish_unknown" in codes
    assert codes <= set(api_description()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])


def _below(error: type[AppError]) -> set[type[AppError]]:
    return {error}.union(*(_below(child) for child in error.__subclasses__()))
