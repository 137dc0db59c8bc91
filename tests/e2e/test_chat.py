"""The chat as its users meet it: real processes, real servers, the provider simulator as the model."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from common.amqp.broker import Broker
from common.auth import issue_session
from common.events.ledger import AccountReply, AdjustAccountV1
from common.ids import new_id
from common.settings import DEVELOPMENT_SECRET
from support.chat_client import Answer, ChatClient
from support.fresh import fresh_places
from support.servers import Servers
from support.sim import sim
from support.stack import Stack, running_stack


@pytest.fixture(scope="module")
async def stack(servers: Servers, management: httpx.AsyncClient) -> AsyncGenerator[Stack]:
    """One stack for all tests here; each has users of its own."""
    async with (
        fresh_places(servers, management) as places,
        running_stack(**places, gateways=2) as stack,
    ):
        yield stack


@pytest.fixture
def me() -> str:
    return new_id("q")


@pytest.fixture
def stranger_id() -> str:
    return new_id("q")


async def stored_text(client: ChatClient, thread_id: str) -> str:
    response = await client.http.get(f"/chat/threads/{thread_id}")
    response.raise_for_status()
    return next(
        m["text"] for m in reversed(response.json()["thread"]["messages"]) if m["role"] == "assistant"
    )


async def test_the_stream_the_stored_answer_and_the_replay_are_the_same(stack: Stack, me: str):
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    answer = await user.ask(thread_id, sim(reply_tokens=200, delta_tokens=3, tokens_per_s=400))
    assert answer.status == "completed"
    replay = await user.replay(answer.run_id)
    assert replay.text == answer.text == await stored_text(user, thread_id)
    assert answer.sequences == list(range(1, len(answer.events) + 1))
    kinds = [event.kind for event in answer.events]
    assert (kinds[0], kinds[-2:]) == ("run", ["usage", "done"])


async def test_tokens_that_the_provider_reports_are_the_tokens_in_the_ledger(stack: Stack, me: str):
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    before = (await stack.account(me))["balance"]
    behaviour = {"reply_tokens": 50, "reasoning_tokens": 7, "cached_tokens": 2}
    answers = [await user.ask(thread_id, sim(f"turn {turn}", **behaviour)) for turn in range(3)]
    assert [answer.status for answer in answers] == ["completed"] * 3
    await stack.drained()
    run_ids = {answer.run_id for answer in answers}
    journal = [entry for entry in await stack.journal() if entry["metadata"]["run_id"] in run_ids]
    provider = sum(entry["usage"]["total_tokens"] for entry in journal)
    rows = await stack.usage_rows(user_id=me)
    assert -sum(row["tokens"] for row in rows) == provider
    assert {row["usage"]["reasoning_tokens"] for row in rows} == {7}
    assert before - (await stack.account(me))["balance"] == provider
    assert answers[-1].usage["token_balance"] == (await stack.account(me))["balance"]
    await stack.audit()


async def test_the_model_is_sent_the_turns_before(stack: Stack, me: str):
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    await user.ask(thread_id, sim("first question", reply="first answer"))
    await user.ask(thread_id, sim("second question", reply="second answer"))
    runs = await stack.db["runs"].find({"user_id": me}).sort("created_at", 1).to_list(None)
    assert runs[1]["usage"]["input_tokens"] > runs[0]["usage"]["input_tokens"]
    await stack.drained()
    await stack.audit()


async def test_a_balance_for_seven_starts_seven_of_a_hundred(db_url: str, amqp_url: str, redis_url: str):
    env = {"RUNS_PER_USER": "1000", "STREAMS_PER_USER": "1000", "TOKEN_BALANCE": "1000000"}
    async with running_stack(
        db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, gateways=2, ledgers=2, env=env
    ) as stack:
        first = stack.client("u1", gateway=0)
        second = stack.client("u1", gateway=1)
        await first.open()
        threads = [await first.new_thread() for _ in range(100)]
        # No run ends before the last send is decided: what it leaves of its hold could be spent again.
        text = sim("the same for all", reply_tokens=30, first_token_delay_s=60)
        hold = await hold_of(stack, text)
        await set_balance(stack, "u1", 7 * hold)

        async def ask(number: int, thread_id: str) -> str:
            client = (first, second)[number % 2]
            while True:
                try:
                    answer = await client.ask(thread_id, text, client_message_id=f"c-{number}")
                except httpx.HTTPStatusError as refusal:
                    if refusal.response.status_code == 503:
                        # Told to come back: as a browser does, with the same message.
                        await asyncio.sleep(int(refusal.response.headers["retry-after"]))
                        continue
                    return f"{refusal.response.status_code} {refusal.response.json()['code']}"
                return answer.status or "no end"

        outcomes = Counter(await asyncio.gather(*(ask(n, thread) for n, thread in enumerate(threads))))
        assert outcomes == {"completed": 7, "429 insufficient_balance": 93}
        assert len(await stack.journal()) == 7 + 1
        await stack.drained()
        await stack.audit()


async def hold_of(stack: Stack, text: str) -> int:
    """Ask as another user, for whom the same message holds the same."""
    other = stack.client("other")
    await other.open()
    async with aclosing(other.send(await other.new_thread(), text)) as events:
        opening = await anext(aiter(events))
    run = await stack.db["runs"].find_one({"_id": opening.data["run_id"]})
    assert run is not None
    return run["hold_tokens"]


async def set_balance(stack: Stack, user_id: str, tokens: int) -> None:
    """Correct a balance as an operator does, through the ledger."""
    async with Broker(stack.env["AMQP_URL"], service="test") as broker:
        client = await broker.rpc_client()
        command = AdjustAccountV1(
            request_id=f"q_{user_id}_{tokens}",
            user_id=user_id,
            actor="test",
            reason="test",
            token_balance=tokens,
        )
        await client.call(command, AccountReply, deadline_s=30)


async def test_a_message_sent_twice_is_one_run(stack: Stack, me: str):
    user, elsewhere = stack.client(me, gateway=0), stack.client(me, gateway=1)
    thread_id = (await user.open())["thread"]["id"]
    text = sim("only once", reply_tokens=40, tokens_per_s=100)
    answers = await asyncio.gather(
        *(
            client.ask(thread_id, text, client_message_id="c-1")
            for client in (user, elsewhere, user, elsewhere)
        )
    )
    assert len({answer.run_id for answer in answers}) == 1
    assert len({answer.text for answer in answers}) == 1
    again = await user.ask(thread_id, text, client_message_id="c-1")
    assert again.text == answers[0].text
    journal = [entry for entry in await stack.journal() if entry["metadata"]["run_id"] == again.run_id]
    assert len(journal) == 1
    with pytest.raises(httpx.HTTPStatusError) as refusal:
        await user.ask(thread_id, "something else", client_message_id="c-1")
    assert refusal.value.response.json()["code"] == "id_reused"
    await stack.drained()
    await stack.audit()


@pytest.mark.parametrize("cut_after", [1, 2, 5, 17])
async def test_a_cut_connection_goes_on_at_another_gateway_with_every_chunk_once(
    stack: Stack, me: str, cut_after: int
):
    here, there = stack.client(me, gateway=0), stack.client(me, gateway=1)
    thread_id = (await here.open())["thread"]["id"]
    answer = Answer()
    stream = here.send(thread_id, sim(reply_tokens=60, tokens_per_s=60))
    async for event in stream:
        answer.events.append(event)
        if len(answer.events) == cut_after:
            break
    await stream.aclose()
    async for event in there.resume(answer):
        answer.events.append(event)
    assert answer.sequences == list(range(1, len(answer.events) + 1))
    assert answer.status == "completed"
    assert answer.text == await stored_text(here, thread_id)
    await stack.drained()
    await stack.audit()


async def test_a_stopped_run_keeps_its_text_and_is_charged(stack: Stack, me: str):
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    answer = Answer()
    async for event in user.send(thread_id, sim(reply_tokens=300, tokens_per_s=20)):
        answer.events.append(event)
        if event.kind == "delta" and len(answer.events) == 6:
            response = await user.http.post(f"/chat/runs/{answer.run_id}/cancel")
            assert response.status_code in (200, 202)
    response = await user.http.post(f"/chat/runs/{answer.run_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert answer.status == "cancelled"
    assert answer.text
    assert answer.text == await stored_text(user, thread_id)
    await stack.drained()
    (row,) = await stack.usage_rows(user_id=me)
    assert row["estimated"]
    assert row["tokens"] < 0
    again = await user.ask(thread_id, "and go on")
    assert again.status == "completed"
    await stack.audit()


@pytest.mark.parametrize("told", [True, False])
async def test_a_stopped_run_that_the_provider_keeps_is_stopped_there_and_charged(
    db_url: str, amqp_url: str, redis_url: str, *, told: bool
):
    env = {"OAI_ASSISTANT": "test-background"}
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, env=env) as stack:
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        answer = Answer()
        text = sim(reply_tokens=300, tokens_per_s=20, usage_when_cancelled=told)
        async for event in user.send(thread_id, text):
            answer.events.append(event)
            if event.kind == "delta" and len(answer.events) == 6:
                response = await user.http.post(f"/chat/runs/{answer.run_id}/cancel")
                assert response.status_code in (200, 202)
        assert answer.status == "cancelled"
        assert answer.text
        assert answer.text == await stored_text(user, thread_id)
        await stack.drained()
        (row,) = await stack.usage_rows(run_id=answer.run_id)
        (response,) = await stack.journal()
        assert (response["status"], row["estimated"]) == ("cancelled", not told)
        assert row["tokens"] < 0
        if told:
            assert -row["tokens"] == response["usage"]["total_tokens"]
        await stack.audit()


async def test_a_closed_tab_does_not_stop_the_answer(stack: Stack, me: str):
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    stream = user.send(thread_id, sim(reply_tokens=40, tokens_per_s=100))
    first = await anext(stream)
    await stream.aclose()
    await stack.drained()
    run = await stack.db["runs"].find_one({"_id": first.data["run_id"]})
    assert run is not None
    assert (run["state"], run["usage_source"]) == ("completed", "provider")


async def test_a_thread_that_is_answering_takes_no_second_message(stack: Stack, me: str):
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    stream = user.send(thread_id, sim(reply_tokens=60, tokens_per_s=6))
    await anext(stream)
    with pytest.raises(httpx.HTTPStatusError) as refusal:
        await user.ask(thread_id, "me too")
    assert (refusal.value.response.status_code, refusal.value.response.json()["code"]) == (409, "thread_busy")
    async for _ in stream:
        pass
    await stack.drained()


def bad_sessions() -> dict[str, str]:
    now = datetime.now(UTC)  # noqa: TID251 - the gateway under test reads the real clock
    return {
        "forged": issue_session("u1", secret="x" * 40, now=now, ttl=timedelta(hours=1)),
        "expired": issue_session(
            "u1", secret=DEVELOPMENT_SECRET, now=now - timedelta(days=1), ttl=timedelta(hours=1)
        ),
        "none": "",
    }


async def test_forged_expired_and_foreign_sessions_see_nothing(stack: Stack, me: str, stranger_id: str):
    owner = stack.client(me)
    thread_id = (await owner.open())["thread"]["id"]
    answer = await owner.ask(thread_id, sim("private", reply="private answer"))
    paths = ["/chat/thread", f"/chat/threads/{thread_id}", f"/chat/runs/{answer.run_id}/events"]
    async with httpx.AsyncClient(base_url=stack.gateways[0].url, timeout=30) as http:
        for name, token in bad_sessions().items():
            for path in paths:
                response = await http.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})
                assert (response.status_code, response.json()["code"]) == (401, "unauthenticated"), (
                    name,
                    path,
                )
            sent = await http.get("/chat/message", params={"t": thread_id, "m": "hi", "s": token})
            assert sent.status_code == 401, name
    stranger = stack.client(stranger_id)
    await stranger.open()
    for path in paths[1:]:
        response = await stranger.http.get(path)
        assert response.status_code == 404
        assert "private" not in response.text
    with pytest.raises(httpx.HTTPStatusError) as refusal:
        await stranger.ask(thread_id, "let me in")
    assert refusal.value.response.status_code == 404
    assert (await stranger.http.post(f"/chat/runs/{answer.run_id}/cancel")).status_code == 404


async def test_a_file_that_the_assistant_made_goes_to_its_owner_alone(
    stack: Stack, me: str, stranger_id: str
):
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    made = {"name": "report.csv", "content": "a,b\n1,2\n", "cited_as": "container"}
    answer = await user.ask(thread_id, sim("make a file", reply="here it is", files=[made]))
    (file,) = [event.data for event in answer.events if event.kind == "file"]
    response = await user.http.get("/chat/file", params={"id": file["id"]})
    assert (response.status_code, response.text) == (200, made["content"])
    assert "report.csv" in response.headers["content-disposition"]
    stranger = stack.client(stranger_id)
    assert (await stranger.http.get("/chat/file", params={"id": file["id"]})).status_code == 404


async def test_text_cannot_forge_an_event(stack: Stack, me: str):
    user = stack.client(me)
    thread_id = (await user.open())["thread"]["id"]
    evil = "a\r\n\r\nevent: done\r\ndata: {}\n\nid: 9\n\u2028\x00end"
    answer = await user.ask(thread_id, sim(reply=evil))
    assert answer.text == evil
    assert answer.status == "completed"
