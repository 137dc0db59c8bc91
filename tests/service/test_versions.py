"""Asking again: what was asked before stays, and the model hears only the branch that it is asked in."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import httpx
import pytest

from chat_worker.runs.conversation import Turn
from chat_worker.runs.history import HistoryRepository
from common.errors import NotFound
from common.events.runs import RunRequestedV1
from common.ids import new_id
from common.mongo.indexes import ensure_indexes
from common.tasks import background_tasks
from gateway.context import Services
from gateway.indexes import INDEXES
from gateway.threads.records import Place, Thread, UserMessage
from support.asking import USER, Asking, Queue
from support.conversations import Conversations
from support.gateway_app import bearer, close_services, gateway_client, gateway_services, session_of
from support.hold_ledger import HoldLedger


@pytest.fixture
async def services(db_url: str, redis_url: str) -> AsyncGenerator[Services]:
    services = gateway_services(db_url=db_url, redis_url=redis_url, messages_per_minute=100)
    await ensure_indexes(services.db, INDEXES)
    async with background_tasks(services.hub.run(), services.limits.run()):
        yield services
    await close_services(services)


@pytest.fixture
def conversations(services: Services) -> Conversations:
    return Conversations(services.db, services.clock.now())


@pytest.fixture
async def asking(services: Services, conversations: Conversations) -> Asking:
    """A user with a thread of two turns, whose second answer made the conversation long."""
    thread = await conversations.thread(USER)
    first = await conversations.ask(thread, "one")
    await conversations.answer(first, "1", context_tokens=100)
    second = await conversations.ask(thread, "two", follows=first.id)
    await conversations.answer(second, "2", context_tokens=5_000)
    ledger, queue = HoldLedger(), Queue()
    services.ask.ledger, services.ask.publisher = ledger, queue
    return Asking(services, ledger, queue, thread)


def by_text(messages: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {message["text"]: message for message in messages}


async def follows(asking: Asking, text: str) -> str | None:
    """Name what a message follows by its text."""
    messages = await asking.messages()
    texts = {message["_id"]: message["text"] for message in messages}
    return texts.get(by_text(messages)[text]["follows"])


async def input_tokens(asking: Asking) -> int:
    (event,) = asking.queue.events
    assert isinstance(event, RunRequestedV1)
    return event.input_tokens_estimate


class TestPlace:
    async def test_a_message_follows_the_last_one(self, asking: Asking):
        with await asking("three"):
            assert await follows(asking, "three") == "two"
            assert await input_tokens(asking) > 5_000

    async def test_one_that_replaces_another_follows_what_that_followed_and_pays_for_no_more(
        self, asking: Asking
    ):
        second = by_text(await asking.messages())["two"]["_id"]
        with await asking("two, better", place=Place(replaces=second)):
            assert await follows(asking, "two, better") == "one"
            assert await input_tokens(asking) < 300

    async def test_one_that_replaces_the_first_begins_anew(self, asking: Asking):
        first = by_text(await asking.messages())["one"]["_id"]
        with await asking("one, better", place=Place(replaces=first)):
            assert await follows(asking, "one, better") is None

    async def test_a_message_behind_withdrawn_ones_follows_what_went_before_them(self, asking: Asking):
        for text in ("lost", "lost too"):
            await asking.is_withdrawn_before_a_worker_has_it(text)
        with await asking("three"):
            assert await follows(asking, "three") == "two"
            assert await input_tokens(asking) > 5_000

    async def test_an_older_branch_can_be_gone_on_with(self, asking: Asking):
        first = by_text(await asking.messages())["one"]["_id"]
        with await asking("elsewhere", place=Place(follows=first)):
            assert await follows(asking, "elsewhere") == "one"

    @pytest.mark.parametrize("owner", [USER, "somebody else"])
    async def test_a_place_outside_of_the_thread_is_not_found(
        self, asking: Asking, conversations: Conversations, owner: str
    ):
        elsewhere = await conversations.ask(await conversations.thread(owner), "elsewhere")
        for place in (Place(replaces=elsewhere.id), Place(follows=elsewhere.id), Place(follows=new_id("m"))):
            with pytest.raises(NotFound):
                await asking("here", place=place)
        assert asking.queue.events == []

    async def test_two_places_at_once_are_refused(self, services: Services, asking: Asking):
        both = {"replaces": new_id("m"), "follows": new_id("m")}
        async with gateway_client(services) as client:
            client.headers.update(bearer(session_of(services, USER)))
            answer = await client.post(
                "/chat/messages", json={"thread_id": asking.thread.id, "text": "x", **both}
            )
        assert answer.status_code == httpx.codes.BAD_REQUEST


class TestHistory:
    """What the worker sends along."""

    async def test_what_was_replaced_and_all_that_came_after_it_is_left_out(
        self, conversations: Conversations
    ):
        thread = await conversations.thread(USER)
        first = await self._turn(conversations, thread, "one")
        second = await self._turn(conversations, thread, "two", first)
        await self._turn(conversations, thread, "three", second)
        better = await self._turn(conversations, thread, "two, better", first)
        last = await conversations.ask(thread, "four", follows=better.id)
        assert await self._history(conversations, last) == ["two, better", "one"]
        assert await self._history(conversations, second) == ["one"]

    async def test_many_versions_do_not_hide_what_went_before(self, conversations: Conversations):
        thread = await conversations.thread(USER)
        first = await self._turn(conversations, thread, "one")
        versions = [await self._turn(conversations, thread, f"version {n}", first) for n in range(60)]
        assert await self._history(conversations, versions[-1]) == ["one"]

    async def test_a_branch_of_another_user_is_no_history(self, conversations: Conversations):
        foreign = await self._turn(conversations, await conversations.thread("somebody else"), "secret")
        mine = await conversations.ask(await conversations.thread(USER), "mine", follows=foreign.id)
        assert await self._history(conversations, mine) == []

    async def _turn(
        self, conversations: Conversations, thread: Thread, text: str, behind: UserMessage | None = None
    ) -> UserMessage:
        message = await conversations.ask(thread, text, follows=behind.id if behind else None)
        await conversations.answer(message, f"answer to {text}")
        return message

    async def _history(self, conversations: Conversations, message: UserMessage) -> list[str]:
        """Return the questions before the message, newest first; each has its own answer."""
        now = datetime(2026, 11, 22, tzinfo=UTC)
        request = RunRequestedV1(
            event_id=message.run_id,
            occurred_at=now,
            run_id=message.run_id,
            thread_id=message.thread_id,
            message_id=message.id,
            user_id=message.user_id,
            company=None,
            assistant="test@1",
            hold_tokens=1,
            input_tokens_estimate=1,
            max_output_tokens=1,
            claim_until=now,
        )
        question = await HistoryRepository(conversations.db).question(request)
        assert question is not None
        assert question.history == [
            Turn(turn.question, f"answer to {turn.question}") for turn in question.history
        ]
        return [turn.question for turn in question.history]
