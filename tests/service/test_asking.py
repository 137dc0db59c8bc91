"""From a message to a run: what stands afterwards, whatever failed on the way."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from common.auth import Session
from common.errors import (
    AppError,
    IdReused,
    InsufficientBalance,
    Malformed,
    NotFound,
    PublishFailed,
    PublishUnknown,
    RateLimited,
    ThreadBusy,
    TooLarge,
    Unavailable,
)
from common.events.envelope import Command, Company
from common.events.ledger import OpenAccountV1, PlaceHoldV1, ReleaseHoldV1
from common.events.runs import RunRequestedV1
from common.ids import new_id
from gateway.streaming.follower import Follower
from gateway.threads.records import Thread
from gateway.threads.repository import ThreadRepository
from support.asking import SESSION, USER, Asking, user_who_asks
from support.gateway_app import ASSISTANT
from support.run_writer import RunWriter


@pytest.fixture
async def asking(db_url: str, redis_url: str) -> AsyncGenerator[Asking]:
    async with user_who_asks(db_url, redis_url) as asking:
        yield asking


async def test_a_message_is_held_stored_and_published(asking: Asking) -> None:
    with await asking("Why is the sky blue?") as follower:
        (event,) = asking.queue.events
        (message,) = await asking.messages()
        assert isinstance(event, RunRequestedV1)
        assert (event.run_id, event.event_id) == (follower.run_id, follower.run_id)
        assert (message["run_id"], message["_id"]) == (event.run_id, event.message_id)
        assert message["text"] == "Why is the sky blue?"
        assert event.company == Company(id="c1", name="ACME")
        assert event.claim_until == asking.services.clock.now() + timedelta(minutes=5)
        assert event.hold_tokens == asking.ledger.holds[event.run_id]
        assert event.max_output_tokens == event.hold_tokens - event.input_tokens_estimate
        assert event.max_output_tokens == ASSISTANT.max_output_tokens
        thread = await asking.services.threads.find_thread(USER, asking.thread.id)
        assert thread is not None
        assert (thread.last_run_id, thread.title) == (event.run_id, "Why is the sky blue?")


async def test_the_first_chunk_is_heard_without_looking_for_it(asking: Asking) -> None:
    with await asking() as follower:
        run = RunWriter(asking.services.redis, follower.run_id)
        await run.begin()
        await run.say("Because")
        async with asyncio.timeout(20):
            events = [event async for batch in _some(follower, 2) for event in batch]
    assert [event.kind for event in events] == ["run", "delta"]


async def _some(follower: Follower, count: int) -> AsyncGenerator[list[Any]]:
    while count > 0:
        batch = await anext(follower)
        count -= len(batch)
        yield batch


async def test_the_hold_counts_the_conversation_so_far(asking: Asking) -> None:
    with await asking("First") as follower:
        first = asking.queue.events[0]
        assert isinstance(first, RunRequestedV1)
        await asking.worker_has(first, state="completed")
        await asking.services.db["runs"].update_one(
            {"_id": follower.run_id}, {"$set": {"context_tokens": 2_000}}
        )
        asking.ledger.holds.clear()
    with await asking("Second"):
        second = asking.queue.events[1]
        assert isinstance(second, RunRequestedV1)
        assert second.input_tokens_estimate > 2_000


async def test_a_balance_that_pays_for_less_output_gets_less(asking: Asking) -> None:
    asking.ledger.available = 300
    with await asking():
        (event,) = asking.queue.events
        assert isinstance(event, RunRequestedV1)
        assert event.hold_tokens == 300
        assert ASSISTANT.min_output_tokens <= event.max_output_tokens < ASSISTANT.max_output_tokens


async def test_a_balance_that_is_too_small_starts_nothing(asking: Asking) -> None:
    asking.ledger.available = 50
    with pytest.raises(InsufficientBalance):
        await asking(client_message_id="c1")
    assert asking.queue.events == []
    assert await asking.nothing_is_left()
    asking.ledger.available = 5_000
    with await asking(client_message_id="c1"):
        assert len(asking.queue.events) == 1


async def test_a_user_without_an_account_gets_one(asking: Asking) -> None:
    asking.ledger.is_open = False
    with await asking():
        kinds = [type(command) for command in asking.ledger.commands]
        assert kinds == [PlaceHoldV1, OpenAccountV1, PlaceHoldV1]


async def test_a_thread_answers_one_message_at_a_time(asking: Asking) -> None:
    with await asking():
        with pytest.raises(ThreadBusy):
            await asking("And?")
        assert len(asking.ledger.holds) == len(asking.queue.events) == 1


async def test_of_many_messages_at_once_exactly_one_starts(asking: Asking) -> None:
    async def attempt(number: int) -> Follower | AppError:
        try:
            return await asking(f"Number {number}")
        except AppError as error:
            return error

    results = await asyncio.gather(*(attempt(number) for number in range(10)))
    started = [result for result in results if isinstance(result, Follower)]
    assert len(started) == 1
    assert {type(r) for r in results if not isinstance(r, Follower)} == {ThreadBusy}
    assert list(asking.ledger.holds) == [started[0].run_id]
    assert [message["run_id"] for message in await asking.messages()] == [started[0].run_id]
    assert len(asking.queue.events) == 1
    assert [type(command) for command in asking.ledger.commands] == [PlaceHoldV1]
    started[0].close()


async def test_of_many_messages_as_many_start_as_the_balance_pays_for(asking: Asking) -> None:
    """Several on each thread: those that lose their thread take nothing from those that own one."""
    one_run = 200
    asking.ledger.available = 2 * one_run
    asking.ask.assistant = ASSISTANT.model_copy(update={"max_output_tokens": 160, "min_output_tokens": 160})
    threads = [
        await asking.services.threads.insert_thread(
            new_id("t"), user_id=USER, title="", now=asking.services.clock.now()
        )
        for _ in range(3)
    ]

    async def attempt(thread: Thread, number: int) -> Follower | AppError:
        try:
            return await asking.ask(SESSION, thread_id=thread.id, text=f"Number {number}")
        except AppError as error:
            return error

    attempts = (attempt(thread, number) for number in range(4) for thread in threads)
    results = await asyncio.gather(*attempts)
    started = [result for result in results if isinstance(result, Follower)]
    assert len(started) == len(asking.queue.events) == len(asking.ledger.holds) == 2
    assert {type(r) for r in results if not isinstance(r, Follower)} == {ThreadBusy, InsufficientBalance}
    for follower in started:
        follower.close()


async def test_a_thread_is_free_again_when_its_run_has_ended(asking: Asking) -> None:
    with await asking():
        request = asking.queue.events[0]
        assert isinstance(request, RunRequestedV1)
        await asking.worker_has(request, state="completed")
    with await asking("And?"):
        assert len(asking.queue.events) == 2


async def test_a_thread_is_free_again_when_no_worker_took_its_run_in_time(asking: Asking) -> None:
    with await asking():
        pass
    asking.clock.pass_s(301)
    with await asking("And?"):
        assert len(asking.queue.events) == 2


async def test_a_message_that_the_queue_refuses_leaves_nothing(asking: Asking) -> None:
    asking.queue.error = PublishFailed()
    with pytest.raises(PublishFailed):
        await asking()
    assert await asking.nothing_is_left()


async def test_a_message_whose_confirmation_is_lost_and_that_nobody_has_leaves_nothing(
    asking: Asking,
) -> None:
    asking.queue.error = PublishUnknown()
    with pytest.raises(PublishUnknown):
        await asking()
    assert await asking.nothing_is_left()


async def test_a_message_whose_confirmation_is_lost_and_that_a_worker_has_goes_on(asking: Asking) -> None:
    asking.queue.error = PublishUnknown()
    asking.queue.before_error = asking.worker_has
    with await asking() as follower:
        assert list(asking.ledger.holds) == [follower.run_id]
        assert [message["run_id"] for message in await asking.messages()] == [follower.run_id]


class ThreadsThatKeepEveryMessage(ThreadRepository):
    async def withdraw_message(self, run_id: str, user_id: str) -> None:
        raise AssertionError


async def test_a_message_that_a_worker_has_is_there_all_the_time(asking: Asking) -> None:
    asking.ask.threads = ThreadsThatKeepEveryMessage(asking.services.db)
    asking.queue.error = PublishUnknown()
    asking.queue.before_error = asking.worker_has
    with await asking() as follower:
        assert list(asking.ledger.holds) == [follower.run_id]


async def test_a_message_whose_run_is_claimed_while_it_is_withdrawn_is_put_back(asking: Asking) -> None:
    requests: list[RunRequestedV1] = []

    class ClaimedMeanwhile(ThreadRepository):
        async def withdraw_message(self, run_id: str, user_id: str) -> None:
            await super().withdraw_message(run_id, user_id)
            await asking.worker_has(requests[0])

    async def keep(request: RunRequestedV1) -> None:
        requests.append(request)

    asking.ask.threads = ClaimedMeanwhile(asking.services.db)
    asking.queue.error, asking.queue.before_error = PublishUnknown(), keep
    with await asking() as follower:
        assert list(asking.ledger.holds) == [follower.run_id]
        assert [message["run_id"] for message in await asking.messages()] == [follower.run_id]


async def test_a_hold_whose_reply_is_lost_is_released(asking: Asking) -> None:
    asking.ledger.lost_replies = {PlaceHoldV1}
    with pytest.raises(Unavailable):
        await asking()
    assert await asking.nothing_is_left()


async def test_a_release_that_fails_is_tried_again(asking: Asking) -> None:
    asking.queue.error = PublishFailed()
    asking.ledger.away = {ReleaseHoldV1}
    with pytest.raises(PublishFailed):
        await asking()
    assert len(asking.ledger.holds) == 1
    asking.ledger.away = set[type[Command]]()
    assert await asking.nothing_is_left()


class ThreadsThatCannotBeTaken(ThreadRepository):
    """The database goes away just before the thread is taken, and is back for the next write."""

    async def take_for_run(self, thread: Thread, **_: Any) -> bool:
        raise AutoReconnect


async def test_a_database_that_goes_away_in_the_middle_leaves_nothing(asking: Asking) -> None:
    asking.ask.threads = ThreadsThatCannotBeTaken(asking.services.db)
    with pytest.raises(AutoReconnect):
        await asking()
    assert asking.queue.events == []
    assert await asking.nothing_is_left()


async def test_the_same_message_again_joins_its_run(asking: Asking) -> None:
    with await asking(client_message_id="c1") as first, await asking(client_message_id="c1") as again:
        assert first.run_id == again.run_id
        assert len(asking.queue.events) == len(asking.ledger.holds) == len(await asking.messages()) == 1


async def test_the_same_message_many_times_at_once_is_one_run(asking: Asking) -> None:
    followers = await asyncio.gather(*(asking(client_message_id="c1") for _ in range(10)))
    await asking.ask.drain()
    assert len({follower.run_id for follower in followers}) == 1
    assert list(asking.ledger.holds) == [followers[0].run_id]
    assert len(asking.queue.events) == len(await asking.messages()) == 1
    for follower in followers:
        follower.close()


async def test_the_same_id_for_another_message_is_refused(asking: Asking) -> None:
    with await asking(client_message_id="c1"), pytest.raises(IdReused):
        await asking("Something else", client_message_id="c1")


@pytest.mark.parametrize("away", ["ledger", "queue"])
async def test_whoever_cannot_be_served_hears_it_within_five_seconds(asking: Asking, away: str) -> None:
    asking.ledger.waits = asking.queue.waits = asking.clock.pass_s
    asking.ledger.is_open = False
    asking.ledger.away = {ReleaseHoldV1}
    if away == "ledger":
        asking.ledger.away.add(PlaceHoldV1)
    else:
        asking.queue.error = PublishUnknown()
    with pytest.raises(Unavailable):
        await asking()
    assert asking.clock.monotonic_s() < 5


async def test_the_same_message_again_after_its_run_could_not_begin_is_a_new_one(asking: Asking) -> None:
    with await asking(client_message_id="c1") as first:
        pass
    asking.clock.pass_s(301)
    with await asking(client_message_id="c1") as second:
        assert first.run_id != second.run_id
        assert [message["run_id"] for message in await asking.messages()] == [second.run_id]


async def test_a_client_that_leaves_in_the_middle_leaves_a_whole_run(asking: Asking) -> None:
    asking.ledger.delay_s = 0.1
    request = asyncio.create_task(asking())
    while not asking.ledger.commands:
        await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert asking.services.hub.followers == 0
    await asking.ask.drain()
    assert len(asking.queue.events) == len(asking.ledger.holds) == len(await asking.messages()) == 1


async def test_a_client_that_leaves_before_a_failure_leaves_nothing(asking: Asking) -> None:
    asking.ledger.delay_s = 0.1
    asking.queue.error = PublishFailed()
    request = asyncio.create_task(asking())
    while not asking.ledger.commands:
        await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await asking.nothing_is_left()


async def test_another_users_thread_is_not_found(asking: Asking) -> None:
    stranger = Session.model_validate({"sub": "u2", "exp": 2**31})
    with pytest.raises(NotFound):
        await asking.ask(stranger, thread_id=asking.thread.id, text="Why?")
    assert asking.ledger.commands == []


@pytest.mark.parametrize(
    ("text", "error"),
    [("", Malformed), (" \n\t", Malformed), ("\ud800", Malformed), ("x" * 32_769, TooLarge)],
)
async def test_a_text_that_cannot_be_sent_is_refused(
    asking: Asking, text: str, error: type[AppError]
) -> None:
    with pytest.raises(error):
        await asking(text)
    assert asking.ledger.commands == []


async def test_too_many_messages_in_a_minute_are_refused(asking: Asking) -> None:
    for _ in range(100):
        await asking.services.limits.check_message_rate(USER)
    with pytest.raises(RateLimited):
        await asking()
    assert await asking.nothing_is_left()
