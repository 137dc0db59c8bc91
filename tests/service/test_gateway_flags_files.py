"""Flags and files on a real database."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from common.mongo.indexes import ensure_indexes
from gateway.context import Services
from gateway.indexes import INDEXES
from gateway.threads.records import UserMessage
from support.conversations import Conversations
from support.gateway_app import bearer, close_services, gateway_client, gateway_services, session_of


@pytest.fixture
async def services(db_url: str) -> AsyncGenerator[Services]:
    services = gateway_services(db_url=db_url)
    await ensure_indexes(services.db, INDEXES)
    yield services
    await close_services(services)


@pytest.fixture
async def client(services: Services) -> AsyncGenerator[httpx.AsyncClient]:
    async with gateway_client(services) as client:
        client.headers.update(bearer(session_of(services)))
        yield client


@pytest.fixture
def conversations(services: Services) -> Conversations:
    return Conversations(services.db, services.clock.now())


@pytest.fixture
async def message(conversations: Conversations) -> UserMessage:
    return await conversations.ask(await conversations.thread("u1"), "Why?")


async def flag_of(services: Services, message: UserMessage) -> dict[str, Any] | None:
    row = await services.db["messages"].find_one({"_id": message.id})
    assert row is not None
    return row["flag"]


async def flagged(client: httpx.AsyncClient) -> list[bool]:
    return [message["flagged"] for message in (await client.get("/chat/thread")).json()["thread"]["messages"]]


class TestFlags:
    async def test_an_answer_is_flagged_with_reasons_and_a_note(
        self,
        client: httpx.AsyncClient,
        conversations: Conversations,
        services: Services,
        message: UserMessage,
    ):
        answer_id = await conversations.answer(message, "Because.")
        body = {"reasons": ["wrong", "rude"], "note": "It is not so.\nReally."}
        answer = await client.post(f"/chat/messages/{answer_id}/flag", json=body)
        assert (answer.status_code, answer.json()) == (200, {"flagged": True})
        assert await flag_of(services, message) == {
            "message_id": answer_id,
            "reasons": ["wrong", "rude"],
            "note": "It is not so.\nReally.",
            "at": services.clock.now(),
        }
        assert await flagged(client) == [False, True]

    async def test_ones_own_message_can_be_flagged(self, client: httpx.AsyncClient, message: UserMessage):
        assert (await client.post(f"/chat/messages/{message.id}/flag", json={})).status_code == 200
        assert await flagged(client) == [True, False]

    async def test_a_flag_can_be_taken_back(
        self,
        client: httpx.AsyncClient,
        conversations: Conversations,
        services: Services,
        message: UserMessage,
    ):
        answer_id = await conversations.answer(message, "Because.")
        await client.post(f"/chat/messages/{answer_id}/flag", json={})
        other = await client.delete(f"/chat/messages/{message.id}/flag")
        assert (other.status_code, await flagged(client)) == (200, [False, True])
        for _ in range(2):
            answer = await client.delete(f"/chat/messages/{answer_id}/flag")
            assert (answer.status_code, answer.json()) == (200, {"flagged": False})
        assert await flag_of(services, message) is None

    async def test_a_flag_by_address_keeps_the_reasons_that_are_there(
        self, client: httpx.AsyncClient, services: Services, message: UserMessage
    ):
        await client.post(f"/chat/messages/{message.id}/flag", json={"reasons": ["wrong"]})
        answer = await client.get(f"/chat/flag?t={message.thread_id}&m={message.id}")
        assert answer.status_code == 200
        flag = await flag_of(services, message)
        assert flag is not None
        assert flag["reasons"] == ["wrong"]

    async def test_a_flag_by_address_works_with_the_session_in_the_address(
        self, services: Services, message: UserMessage
    ):
        async with gateway_client(services) as client:
            query = f"t={message.thread_id}&m={message.id}&s={session_of(services)}"
            assert (await client.get(f"/chat/flag?{query}")).status_code == 200

    async def test_a_foreign_page_cannot_flag_with_the_readers_cookie(
        self, services: Services, message: UserMessage
    ):
        async with gateway_client(services) as client:
            headers = {"Cookie": f"session={session_of(services)}", "Sec-Fetch-Site": "cross-site"}
            answer = await client.get(f"/chat/flag?t={message.thread_id}&m={message.id}", headers=headers)
            assert answer.status_code == 401
            answer = await client.post(f"/chat/messages/{message.id}/flag", json={}, headers=headers)
            assert answer.status_code == 401
            assert await flag_of(services, message) is None


class TestFiles:
    async def test_a_file_comes_whole_with_its_type_and_name(
        self, client: httpx.AsyncClient, conversations: Conversations, message: UserMessage
    ):
        content = bytes(range(256)) * 3_000
        file_id = await conversations.file(message, content, name="data.csv", media_type="text/csv")
        answer = await client.get(f"/chat/file?id={file_id}", headers={"Range": "bytes=0-3"})
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.headers["content-length"] == str(len(content))
        assert (
            answer.headers["content-disposition"]
            == "attachment; filename=\"data.csv\"; filename*=UTF-8''data.csv"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["accept-ranges"] == "none"

    async def test_an_empty_file_is_a_file(
        self, client: httpx.AsyncClient, conversations: Conversations, message: UserMessage
    ):
        answer = await client.get(f"/chat/file?id={await conversations.file(message, b'')}")
        assert (answer.status_code, answer.content) == (200, b"")

    async def test_a_file_whose_bytes_are_missing_is_not_found(
        self,
        client: httpx.AsyncClient,
        conversations: Conversations,
        services: Services,
        message: UserMessage,
    ):
        file_id = await conversations.file(message, b"x")
        await services.db["file_bytes.files"].delete_many({})
        assert (await client.get(f"/chat/file?id={file_id}")).status_code == 404
