"""Nobody reaches what is not theirs, and cannot even tell that it exists."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from common.ids import answer_id
from common.mongo.indexes import ensure_indexes
from gateway.app import create_app
from gateway.context import Services
from gateway.cursors import write_cursor
from gateway.indexes import INDEXES
from support.conversations import Conversations
from support.gateway_app import bearer, close_services, gateway_client, gateway_services, session_of

ABSENT = "0" * 32


@dataclass(frozen=True, slots=True)
class Owned:
    """What u1 has: an id for every kind of id parameter."""

    thread_id: str
    message_id: str
    answer_id: str
    run_id: str
    file_id: str


NOTHING = Owned(f"t_{ABSENT}", f"m_{ABSENT}", f"n_{ABSENT}", f"r_{ABSENT}", f"f_{ABSENT}")

REQUESTS = {
    "read a thread": ("GET", "/chat/threads/{thread_id}", None),
    "rename a thread": ("PATCH", "/chat/threads/{thread_id}", {"title": "mine"}),
    "delete a thread": ("DELETE", "/chat/threads/{thread_id}", None),
    "send": ("POST", "/chat/messages", {"thread_id": "{thread_id}", "text": "hello"}),
    "send by address": ("GET", "/chat/message?t={thread_id}&m=hello", None),
    "follow a run": ("GET", "/chat/runs/{run_id}/events", None),
    "follow a run from a place": ("GET", "/chat/runs/{run_id}/events?after=1", None),
    "stop a run": ("POST", "/chat/runs/{run_id}/cancel", None),
    "flag a message": ("POST", "/chat/messages/{message_id}/flag", {"reasons": ["mine"]}),
    "flag an answer": ("POST", "/chat/messages/{answer_id}/flag", {"reasons": ["mine"]}),
    "unflag a message": ("DELETE", "/chat/messages/{message_id}/flag", None),
    "unflag an answer": ("DELETE", "/chat/messages/{answer_id}/flag", None),
    "flag by address": ("GET", "/chat/flag?t={thread_id}&m={message_id}", None),
    "flag an answer by address": ("GET", "/chat/flag?t={thread_id}&m={answer_id}", None),
    "download": ("GET", "/chat/file?id={file_id}", None),
}


@pytest.fixture
async def services(db_url: str, redis_url: str) -> AsyncGenerator[Services]:
    services = gateway_services(db_url=db_url, redis_url=redis_url)
    await ensure_indexes(services.db, INDEXES)
    yield services
    await close_services(services)


@pytest.fixture
async def client(services: Services) -> AsyncGenerator[httpx.AsyncClient]:
    async with gateway_client(services) as client:
        client.headers.update(bearer(session_of(services, "u2")))
        yield client


@pytest.fixture
async def owned(services: Services) -> Owned:
    conversations = Conversations(services.db, services.clock.now())
    thread = await conversations.thread("u1", title="private")
    message = await conversations.ask(thread, "private question")
    await conversations.answer(message, "private answer")
    file_id = await conversations.file(message, b"private bytes")
    return Owned(thread.id, message.id, answer_id(message.run_id), message.run_id, file_id)


async def request(client: httpx.AsyncClient, name: str, ids: Owned, **headers: str) -> httpx.Response:
    method, path, body = REQUESTS[name]
    values = {field: getattr(ids, field) for field in Owned.__slots__}
    filled = body and {
        key: value.format(**values) if isinstance(value, str) else value for key, value in body.items()
    }
    return await client.request(method, path.format(**values), json=filled, headers=headers)


def test_the_matrix_has_every_route_with_an_id():
    """Those of users: the dashboard's are for operators, who see all of them."""
    app = create_app(gateway_services())
    with_id = {
        (method, route.path)
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if "{" in (route.path or "") and (route.path or "").startswith("/chat/")
    }
    with_id |= {
        ("GET", "/chat/file"),
        ("GET", "/chat/flag"),
        ("GET", "/chat/message"),
        ("POST", "/chat/messages"),
    }
    tried = {
        (method, path.partition("?")[0].replace("answer_id", "message_id"))
        for method, path, _ in REQUESTS.values()
    }
    assert tried == with_id


@pytest.mark.parametrize("name", REQUESTS)
async def test_another_users_id_is_answered_like_one_that_does_not_exist(
    client: httpx.AsyncClient, services: Services, owned: Owned, name: str
):
    before = await everything(services)
    theirs = await request(client, name, owned)
    absent = await request(client, name, NOTHING)

    assert theirs.status_code == (401 if "flag" in name and "address" in name else 404)
    assert theirs.content == absent.content
    assert "private" not in theirs.text
    assert await everything(services) == before


@pytest.mark.parametrize("name", REQUESTS)
async def test_without_a_session_no_id_says_anything(services: Services, owned: Owned, name: str):
    async with gateway_client(services) as client:
        theirs = await request(client, name, owned)
        absent = await request(client, name, NOTHING)
    assert theirs.status_code == 401
    assert theirs.content == absent.content


async def test_a_place_in_another_users_run_opens_nothing(client: httpx.AsyncClient, owned: Owned):
    answer = await client.get(
        f"/chat/runs/{owned.run_id}/events", headers={"Last-Event-ID": f"{owned.run_id}:2"}
    )
    assert answer.status_code == 404
    answer = await client.get(
        f"/chat/message?t={owned.thread_id}&m=x", headers={"Last-Event-ID": f"{owned.run_id}:2"}
    )
    assert answer.status_code == 404


async def test_ones_own_thread_does_not_open_a_message_of_another(
    client: httpx.AsyncClient, services: Services, owned: Owned
):
    mine = await Conversations(services.db, services.clock.now()).thread("u2")
    answer = await client.get(f"/chat/flag?t={mine.id}&m={owned.message_id}")
    assert answer.status_code == 401
    answer = await client.get(
        f"/chat/message?t={mine.id}&m=x", headers={"Last-Event-ID": f"{owned.run_id}:1"}
    )
    assert answer.status_code == 404


async def test_a_cursor_of_another_user_shows_nothing_of_theirs(
    client: httpx.AsyncClient, services: Services, owned: Owned
):
    cursor = write_cursor(services.clock.now().replace(year=2030), owned.thread_id)
    answer = await client.get("/chat/threads", params={"cursor": cursor})
    assert answer.json() == {"items": [], "next_cursor": None}


async def test_lists_searches_and_the_latest_thread_show_ones_own_only(
    client: httpx.AsyncClient, owned: Owned
):
    for path in ("/chat/threads", "/chat/threads?q=private"):
        assert (await client.get(path)).json()["items"] == []
    latest = (await client.get("/chat/thread")).json()
    assert latest["thread"]["id"] != owned.thread_id
    assert latest["thread"]["messages"] == []


async def everything(services: Services) -> list[list[dict[str, object]]]:
    names = ("threads", "messages", "runs", "files")
    return [await services.db[name].find().sort("_id", 1).to_list(None) for name in names]
