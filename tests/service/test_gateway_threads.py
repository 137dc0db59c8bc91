"""Threads and messages on a real database."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from datetime import timedelta

import httpx
import pytest

from common.errors import Unavailable
from common.events.ledger import OpenAccountV1
from common.events.runs import RunCancelRequestedV1
from common.mongo.indexes import ensure_indexes
from gateway.context import Services
from gateway.indexes import INDEXES
from gateway.limits.limits import SEARCHES_AT_ONCE
from gateway.threads.routes import LATEST_MESSAGES_MAX
from gateway.threads.search import ThreadSearch
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
        token = session_of(services, name="Ada", email="ada@example.com", company="acme")
        client.headers.update(bearer(token))
        yield client


@pytest.fixture
def conversations(services: Services) -> Conversations:
    return Conversations(services.db, services.clock.now())


class TestLatestThread:
    async def test_a_new_user_gets_an_account_and_an_empty_thread(
        self, client: httpx.AsyncClient, services: Services
    ):
        answer = (await client.get("/chat/thread")).json()

        assert answer["thread"] == {
            "id": answer["thread"]["id"],
            "title": "",
            "created_at": "2026-11-22T12:00:00.000Z",
            "updated_at": "2026-11-22T12:00:00.000Z",
            "messages": [],
        }
        assert answer["user"] == {
            "id": "u1",
            "name": "Ada",
            "company": {"id": "acme", "name": "acme"},
            "token_balance": 50_000,
            "token_sequence": 7,
            "token_available": 49_000,
            "token_grant": 50_000,
            "next_grant_at": None,
            "role": "user",
            "more_tokens_url": None,
        }
        assert answer["session"] == {"sub": "u1", "expires_at": "2026-11-22T13:00:00.000Z"}
        (command,) = services.ledger.commands  # type: ignore[attr-defined]
        assert isinstance(command, OpenAccountV1)
        assert (command.user_id, command.user_name, command.email) == ("u1", "Ada", "ada@example.com")

    async def test_the_tokens_alone_and_whose_they_are_is_a_lighter_question(self, client: httpx.AsyncClient):
        answer = await client.get("/chat/account")
        assert answer.json() == {
            "user_id": "u1",
            "token_balance": 50_000,
            "token_sequence": 7,
            "token_available": 49_000,
            "token_grant": 50_000,
            "next_grant_at": None,
        }

    async def test_it_says_when_the_next_grant_comes_and_where_there_is_more(self, db_url: str):
        services = gateway_services(db_url=db_url, int_url="https://shop.test/tokens")
        next_grant_at = services.clock.now() + timedelta(hours=5)
        services.ledger.next_grant_at = next_grant_at  # type: ignore[attr-defined]
        async with gateway_client(services) as client:
            client.headers.update(bearer(session_of(services, role="operator")))
            user = (await client.get("/chat/thread")).json()["user"]
            assert (user["role"], user["more_tokens_url"]) == ("operator", "https://shop.test/tokens")
            assert user["next_grant_at"] == "2026-11-22T17:00:00.000Z"
            assert (await client.get("/chat/account")).json()["next_grant_at"] == user["next_grant_at"]

    async def test_it_stays_the_same_thread(self, client: httpx.AsyncClient):
        first, second = (await client.get("/chat/thread")).json(), (await client.get("/chat/thread")).json()
        assert first["thread"]["id"] == second["thread"]["id"]

    async def test_tabs_at_once_get_the_same_thread(self, client: httpx.AsyncClient, services: Services):
        answers = await asyncio.gather(*(client.get("/chat/thread") for _ in range(8)))
        assert len({answer.json()["thread"]["id"] for answer in answers}) == 1
        assert await services.db["threads"].count_documents({"user_id": "u1"}) == 1

    async def test_after_deleting_the_only_thread_there_is_a_new_one(
        self, client: httpx.AsyncClient, services: Services
    ):
        seen: set[str] = set()
        for _ in range(3):
            thread_id = (await client.get("/chat/thread")).json()["thread"]["id"]
            assert thread_id not in seen
            seen.add(thread_id)
            assert (await client.delete(f"/chat/threads/{thread_id}")).status_code == 204

    async def test_it_is_the_one_used_last(self, client: httpx.AsyncClient, conversations: Conversations):
        older, newer = await conversations.thread("u1"), await conversations.thread("u1")
        assert (await client.get("/chat/thread")).json()["thread"]["id"] == newer.id
        await conversations.ask(older, "again")
        assert (await client.get("/chat/thread")).json()["thread"]["id"] == older.id

    async def test_messages_come_in_order_each_with_its_answer(
        self, client: httpx.AsyncClient, conversations: Conversations
    ):
        thread = await conversations.thread("u1")
        first = await conversations.ask(thread, "What is a token?", client_message_id="c1")
        file = {"id": "f_" + "0" * 32, "name": "a.csv"}
        note = {"type": "url_citation", "url": "https://example.com"}
        answer_id = await conversations.answer(
            first, "A piece.", files=[{**file, "size_bytes": 3}], annotations=[note]
        )
        second = await conversations.ask(thread, "And then?", follows=first.id)
        await conversations.answer(second, "Part of", state="cancelled", usage_source="estimate")

        messages = (await client.get("/chat/thread")).json()["thread"]["messages"]

        assert [message["role"] for message in messages] == ["user", "assistant"] * 2
        assert messages[0] == {
            "id": first.id,
            "role": "user",
            "text": "What is a token?",
            "run_id": first.run_id,
            "created_at": "2026-11-22T12:00:02.000Z",
            "flagged": False,
            "status": "sent",
            "client_message_id": "c1",
            "follows": None,
            "usage": None,
            "error": None,
            "files": [],
            "annotations": [],
        }
        assert messages[1] == {
            "id": answer_id,
            "role": "assistant",
            "text": "A piece.",
            "run_id": first.run_id,
            "created_at": "2026-11-22T12:00:02.200Z",
            "flagged": False,
            "status": "completed",
            "client_message_id": None,
            "follows": None,
            "usage": {
                "input_tokens": 7,
                "cached_tokens": 2,
                "output_tokens": 5,
                "reasoning_tokens": 1,
                "total_tokens": 12,
                "estimated": False,
            },
            "error": None,
            "files": [file],
            "annotations": [note],
        }
        assert messages[2]["follows"] == first.id
        assert (messages[3]["status"], messages[3]["usage"]["estimated"]) == ("cancelled", True)

    async def test_a_long_thread_shows_its_newest_page_and_leads_to_the_rest(
        self, client: httpx.AsyncClient, conversations: Conversations
    ):
        thread = await conversations.thread("u1")
        sent = [await conversations.ask(thread, f"q{number}") for number in range(LATEST_MESSAGES_MAX + 2)]
        latest = (await client.get("/chat/thread")).json()
        shown = [m["text"] for m in latest["thread"]["messages"] if m["role"] == "user"]
        assert shown == [message.text for message in sent[2:]]
        assert len(latest["thread"]["messages"]) == 200
        older = await client.get(f"/chat/threads/{thread.id}", params={"cursor": latest["next_cursor"]})
        assert [m["text"] for m in older.json()["thread"]["messages"] if m["role"] == "user"] == ["q0", "q1"]

    async def test_a_running_answer_is_active_and_leaves_its_text_to_the_stream(
        self, client: httpx.AsyncClient, conversations: Conversations
    ):
        thread = await conversations.thread("u1")
        message = await conversations.ask(thread, "Why?")
        running = {"state": "active", "usage": None, "usage_source": None}
        await conversations.answer(message, "half an ans", **running)
        answer = (await client.get("/chat/thread")).json()["thread"]["messages"][-1]
        assert (answer["status"], answer["text"], answer["run_id"]) == ("active", "", message.run_id)
        assert answer["usage"] is None

    async def test_an_answer_that_waits_for_a_worker_is_active_too(
        self, client: httpx.AsyncClient, conversations: Conversations
    ):
        message = await conversations.ask(await conversations.thread("u1"), "Why?")
        answer = (await client.get("/chat/thread")).json()["thread"]["messages"][-1]
        assert (answer["status"], answer["run_id"]) == ("active", message.run_id)

    async def test_an_answer_that_no_worker_took_in_time_has_failed(
        self, client: httpx.AsyncClient, conversations: Conversations, services: Services
    ):
        thread = await conversations.thread("u1")
        await conversations.ask(thread, "Why?", claim_until=services.clock.now())
        answer = (await client.get("/chat/thread")).json()["thread"]["messages"][-1]
        assert (answer["status"], answer["error"]["retryable"]) == ("failed", True)

    async def test_the_ledger_being_away_is_said_with_a_time_to_come_back(
        self, client: httpx.AsyncClient, services: Services
    ):
        services.ledger.error = Unavailable()  # type: ignore[attr-defined]
        answer = await client.get("/chat/thread")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


class TestList:
    async def test_pages_cover_all_threads_once_the_one_used_last_first(
        self, client: httpx.AsyncClient, conversations: Conversations
    ):
        threads = [await conversations.thread("u1", title=f"no {number}") for number in range(7)]
        await conversations.thread("u2")

        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            answer = (await client.get("/chat/threads", params=page)).json()
            seen += [item["id"] for item in answer["items"]]
            assert len(answer["items"]) <= 3
            cursor = answer["next_cursor"]
            if cursor is None:
                break
        assert seen == [thread.id for thread in reversed(threads)]

    async def test_threads_of_the_same_millisecond_are_not_lost_between_pages(
        self, client: httpx.AsyncClient, services: Services
    ):
        now = services.clock.now()
        made = [
            await services.threads.insert_thread(f"t_{number:032x}", user_id="u1", title="", now=now)
            for number in range(5)
        ]
        first = (await client.get("/chat/threads?limit=2")).json()
        rest = (await client.get("/chat/threads", params={"cursor": first["next_cursor"]})).json()
        assert len({item["id"] for item in first["items"] + rest["items"]}) == len(made)

    async def test_a_search_finds_titles_questions_and_answers(
        self, client: httpx.AsyncClient, conversations: Conversations
    ):
        by_title = await conversations.thread("u1", title="About Zebras")
        by_question = await conversations.thread("u1", title="x")
        await conversations.ask(by_question, "do ZEBRAS sleep?")
        by_answer = await conversations.thread("u1", title="y")
        await conversations.answer(await conversations.ask(by_answer, "stripes?"), "Like a zebra's")
        await conversations.thread("u1", title="horses")
        others = await conversations.thread("u2", title="zebra")
        await conversations.answer(await conversations.ask(others, "zebra"), "zebra")

        items = (await client.get("/chat/threads?q=zebra")).json()["items"]
        assert {item["id"] for item in items} == {by_title.id, by_question.id, by_answer.id}

    @pytest.mark.parametrize("words", [".*", "(", "[a-z]+", "$", "\\", "^a", "a{1,", "%"])
    async def test_a_search_is_taken_word_for_word(
        self, client: httpx.AsyncClient, conversations: Conversations, words: str
    ):
        await conversations.thread("u1", title="plain")
        wanted = await conversations.thread("u1", title=f"with {words} inside")
        answer = await client.get("/chat/threads", params={"q": words})
        assert [item["id"] for item in answer.json()["items"]] == [wanted.id]

    async def test_a_search_has_pages_too(self, client: httpx.AsyncClient, conversations: Conversations):
        for _ in range(3):
            await conversations.thread("u1", title="zebra")
            await conversations.thread("u1", title="horse")
        first = (await client.get("/chat/threads?q=zebra&limit=2")).json()
        rest = (
            await client.get("/chat/threads", params={"q": "zebra", "cursor": first["next_cursor"]})
        ).json()
        assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)

    async def test_a_search_that_takes_too_long_is_given_up(
        self, services: Services, conversations: Conversations
    ):
        await conversations.ask(await conversations.thread("u1"), "zebra")
        hasty = ThreadSearch(services.db, within_s=1e-6)
        with pytest.raises(Unavailable):
            await hasty.list_threads("u1", words="zebra", before=None, limit=1)

    async def test_a_user_has_few_searches_at_once(self, client: httpx.AsyncClient, services: Services):
        with ExitStack() as searching:
            for _ in range(SEARCHES_AT_ONCE):
                searching.enter_context(services.limits.search("u1"))
            refused = await client.get("/chat/threads?q=zebra")
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
            assert (await client.get("/chat/threads")).is_success
        assert (await client.get("/chat/threads?q=zebra")).is_success


class TestOneThread:
    async def test_a_new_thread_is_empty_and_may_have_a_title(self, client: httpx.AsyncClient):
        plain = await client.post("/chat/threads")
        named = await client.post("/chat/threads", json={"title": "Plans"})
        assert (plain.status_code, plain.json()["thread"]["title"]) == (201, "")
        assert named.json()["thread"]["title"] == "Plans"
        page = (await client.get(f"/chat/threads/{plain.json()['thread']['id']}")).json()
        assert (page["thread"]["messages"], page["next_cursor"]) == ([], None)

    async def test_its_first_message_names_it_and_later_ones_do_not(
        self, client: httpx.AsyncClient, conversations: Conversations
    ):
        thread = await conversations.thread("u1")
        await conversations.ask(thread, "  How do\n I " + "word " * 40)
        await conversations.ask(thread, "Something else")
        title = (await client.get(f"/chat/threads/{thread.id}")).json()["thread"]["title"]
        assert title.startswith("How do I word word")
        assert title.endswith("word…")
        assert len(title) <= 60

    async def test_it_can_be_renamed(self, client: httpx.AsyncClient, conversations: Conversations):
        thread = await conversations.thread("u1", title="old")
        answer = await client.patch(f"/chat/threads/{thread.id}", json={"title": "new"})
        assert (answer.status_code, answer.json()["thread"]["title"]) == (200, "new")
        assert (await client.get("/chat/threads")).json()["items"][0]["title"] == "new"

    async def test_its_messages_come_in_pages_the_newest_first(
        self, client: httpx.AsyncClient, conversations: Conversations
    ):
        thread = await conversations.thread("u1")
        for number in range(5):
            await conversations.answer(await conversations.ask(thread, f"q{number}"), f"a{number}")

        texts: list[list[str]] = []
        cursor: str | None = None
        for _ in range(3):
            page = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            answer = (await client.get(f"/chat/threads/{thread.id}", params=page)).json()
            texts.append([message["text"] for message in answer["thread"]["messages"]])
            cursor = answer["next_cursor"]
        assert texts == [["q3", "a3", "q4", "a4"], ["q1", "a1", "q2", "a2"], ["q0", "a0"]]
        assert cursor is None


class TestDelete:
    async def test_a_deleted_thread_is_hidden_everywhere_and_its_rows_stay(
        self, client: httpx.AsyncClient, conversations: Conversations, services: Services
    ):
        kept = await conversations.thread("u1", title="zebra")
        thread = await conversations.thread("u1", title="zebra")
        message = await conversations.ask(thread, "zebra")
        answer_id = await conversations.answer(message, "zebra")
        file_id = await conversations.file(message, b"1,2")

        assert (await client.delete(f"/chat/threads/{thread.id}")).status_code == 204

        assert (await client.get("/chat/thread")).json()["thread"]["id"] == kept.id
        for path in ("/chat/threads", "/chat/threads?q=zebra"):
            assert [item["id"] for item in (await client.get(path)).json()["items"]] == [kept.id]
        gone = [
            await client.get(f"/chat/threads/{thread.id}"),
            await client.patch(f"/chat/threads/{thread.id}", json={"title": "x"}),
            await client.delete(f"/chat/threads/{thread.id}"),
            await client.get(f"/chat/file?id={file_id}"),
            await client.post(f"/chat/messages/{message.id}/flag", json={}),
            await client.delete(f"/chat/messages/{answer_id}/flag"),
            await client.get(f"/chat/runs/{message.run_id}/events"),
        ]
        assert [answer.status_code for answer in gone] == [404] * len(gone)
        assert await services.db["messages"].count_documents({"thread_id": thread.id}) == 1
        assert await services.db["runs"].count_documents({"thread_id": thread.id}) == 1

    async def test_deleting_stops_the_answer_that_nobody_will_read(
        self, client: httpx.AsyncClient, conversations: Conversations, services: Services
    ):
        thread = await conversations.thread("u1")
        message = await conversations.ask(thread, "Why?")
        assert (await client.delete(f"/chat/threads/{thread.id}")).status_code == 204
        (event,) = services.ask.publisher.events  # type: ignore[attr-defined]
        assert isinstance(event, RunCancelRequestedV1)
        assert event.run_id == message.run_id
        row = await services.db["messages"].find_one({"_id": message.id})
        assert row is not None
        assert row["cancel_requested_at"] == services.clock.now()

    async def test_it_is_deleted_also_when_nobody_can_be_told(
        self, client: httpx.AsyncClient, conversations: Conversations, services: Services
    ):
        thread = await conversations.thread("u1")
        await conversations.ask(thread, "Why?")
        services.ask.publisher.error = Unavailable()  # type: ignore[attr-defined]
        assert (await client.delete(f"/chat/threads/{thread.id}")).status_code == 204
        assert (await client.get(f"/chat/threads/{thread.id}")).status_code == 404
