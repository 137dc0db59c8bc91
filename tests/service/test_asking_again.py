"""The same message again: the run that it began, gone on with if whoever began it was killed."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from common.errors import Conflict, IdReused, PublishFailed, PublishUnknown, ThreadBusy, Unavailable
from common.events.runs import RunRequestedV1
from gateway.threads.records import Place, Thread, UserMessage
from gateway.threads.repository import ThreadRepository
from support.asking import USER, Asking, user_who_asks


@pytest.fixture
async def asking(db_url: str, redis_url: str) -> AsyncGenerator[Asking]:
    async with user_who_asks(db_url, redis_url) as asking:
        yield asking


@pytest.mark.parametrize("place", [Place(replaces="m_1"), Place(follows="m_1")])
async def test_the_same_id_in_another_place_is_refused(asking: Asking, place: Place) -> None:
    with await asking(client_message_id="c1"), pytest.raises(IdReused):
        await asking(client_message_id="c1", place=place)


async def test_the_same_message_asks_again_for_a_run_that_nobody_begins(asking: Asking) -> None:
    with await asking(client_message_id="c1") as first:
        asking.ledger.holds.clear()
        asking.clock.pass_s(6)
        with await asking(client_message_id="c1") as again, await asking(client_message_id="c1"):
            await asking.ask.drain()
            assert again.run_id == first.run_id
        once, twice = asking.queue.events
        assert once == twice
        assert list(asking.ledger.holds) == [first.run_id]
        assert len(await asking.messages()) == 1


async def test_a_run_that_has_begun_is_not_asked_for_again(asking: Asking) -> None:
    with await asking(client_message_id="c1"):
        request = asking.queue.events[0]
        assert isinstance(request, RunRequestedV1)
        await asking.worker_has(request)
        asking.clock.pass_s(6)
        with await asking(client_message_id="c1"):
            await asking.ask.drain()
        assert len(asking.queue.events) == 1


async def test_asking_again_in_vain_keeps_what_may_be_waiting_for_a_worker(asking: Asking) -> None:
    with await asking(client_message_id="c1") as first:
        asking.clock.pass_s(6)
        asking.queue.error = PublishUnknown()
        with await asking(client_message_id="c1"):
            await asking.ask.drain()
        assert list(asking.ledger.holds) == [first.run_id]
        assert [message["run_id"] for message in await asking.messages()] == [first.run_id]


async def test_asking_again_in_vain_is_tried_once_more(asking: Asking) -> None:
    with await asking(client_message_id="c1") as first:
        asking.clock.pass_s(6)
        asking.queue.error = PublishUnknown()
        tried = asyncio.Event()

        async def note(_: RunRequestedV1) -> None:
            tried.set()

        asking.queue.before_error = note
        with await asking(client_message_id="c1"):
            async with asyncio.timeout(60):
                await tried.wait()
                asking.queue.error = None
                asking.clock.pass_s(6)
                while len(asking.queue.events) == 1:
                    await asyncio.sleep(0.02)
            await asking.ask.drain()
    once, twice = asking.queue.events
    assert once == twice
    assert list(asking.ledger.holds) == [first.run_id]


async def test_whoever_asked_again_last_may_fail_too_and_another_sees_to_it(asking: Asking) -> None:
    """As a gateway leaves it that noted that it asks again, and was killed then."""
    with await asking(client_message_id="c1") as first:
        asking.clock.pass_s(6)
        noted = await asking.ask.threads.mark_asked_again(
            first.run_id, USER, now=asking.clock.now(), before=asking.clock.now()
        )
        assert noted
        with await asking(client_message_id="c1"):
            async with asyncio.timeout(60):
                while len(asking.queue.events) == 1:
                    await asyncio.sleep(0.02)
                    # Long enough to ask again, and not so long that no worker may claim it any more.
                    if asking.clock.monotonic_s() < 60:
                        asking.clock.pass_s(1)
            await asking.ask.drain()
    once, twice = asking.queue.events
    assert once == twice


async def test_what_the_queue_has_is_not_asked_for_a_third_time(asking: Asking) -> None:
    with await asking(client_message_id="c1"):
        for _ in range(3):
            asking.clock.pass_s(6)
            with await asking(client_message_id="c1"):
                # One look is enough, and the last one before the end looks too.
                await asking.ask.drain()
        assert len(asking.queue.events) == 2


async def test_asking_again_for_what_cannot_be_paid_any_more_ends_it(asking: Asking) -> None:
    with await asking(client_message_id="c1"):
        asking.ledger.holds.clear()
        asking.ledger.available = 0
        asking.clock.pass_s(6)
        with await asking(client_message_id="c1"):
            await asking.ask.drain()
    assert len(asking.queue.events) == 1
    assert await asking.nothing_is_left()


async def test_whoever_wakes_a_moment_too_early_looks_again(asking: Asking) -> None:
    """As timers of uvloop do, which count whole milliseconds: by up to one of them."""
    with await asking(client_message_id="c1"):
        asking.clock.pass_s(4.999)
        with await asking(client_message_id="c1"):
            # The timer ends, and the clock shows 4.999 s still.
            await asyncio.sleep(0.5)
            assert len(asking.queue.events) == 1
            async with asyncio.timeout(20):
                while len(asking.queue.events) == 1:
                    await asyncio.sleep(0.02)
                    asking.clock.pass_s(1)
            await asking.ask.drain()
    once, twice = asking.queue.events
    assert once == twice


async def test_asking_again_for_a_run_that_the_ledger_has_closed_ends_it(asking: Asking) -> None:
    """Its hold was given back, yet its message is there: nobody can begin it any more."""
    with await asking(client_message_id="c1"):
        asking.ledger.holds.clear()
        asking.ledger.refuses = Conflict("This run is over")
        asking.clock.pass_s(6)
        with await asking(client_message_id="c1"):
            await asking.ask.drain()
    assert len(asking.queue.events) == 1
    assert await asking.nothing_is_left()


async def test_the_same_message_again_is_no_new_run_while_another_has_its_thread(asking: Asking) -> None:
    """As a gateway leaves it that is killed between storing the message and taking the thread."""
    with await asking(client_message_id="c1"):
        await asking.services.db["threads"].update_one(
            {"_id": asking.thread.id}, {"$set": {"last_run_id": None}}
        )
        asking.ledger.holds.clear()
        asking.clock.pass_s(6)
        with await asking(client_message_id="c1"):
            await asking.ask.drain()
    assert len(asking.queue.events) == 1
    assert await asking.nothing_is_left()


class FirstOneHeldUp(ThreadRepository):
    """Whoever comes first to a place reaches it, and is held up there until `go_on` is set."""

    def __init__(self, asking: Asking) -> None:
        super().__init__(asking.services.db)
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def _hold_up(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()


class ThreadIsReadLate(FirstOneHeldUp):
    """Whoever comes first has looked for the message once `has_looked` is set."""

    def __init__(self, asking: Asking) -> None:
        super().__init__(asking)
        self.has_looked = asyncio.Event()

    async def find_thread(self, user_id: str, thread_id: str) -> Thread | None:
        await self._hold_up()
        return await super().find_thread(user_id, thread_id)

    async def find_message_by_client_id(self, user_id: str, client_message_id: str) -> UserMessage | None:
        found = await super().find_message_by_client_id(user_id, client_message_id)
        self.has_looked.set()
        return found


class MessageIsStoredLate(FirstOneHeldUp):
    async def insert_message(self, message: UserMessage) -> UserMessage:
        await self._hold_up()
        return await super().insert_message(message)


async def test_the_same_message_that_is_stored_while_it_is_looked_for_is_joined(asking: Asking) -> None:
    asking.ask.threads = threads = ThreadIsReadLate(asking)
    late = asyncio.create_task(asking(client_message_id="c1"))
    async with asyncio.timeout(20):
        await threads.reached.wait()
        await threads.has_looked.wait()
        with await asking(client_message_id="c1") as first:
            threads.go_on.set()
            with await late as again:
                assert again.run_id == first.run_id
    await asking.ask.drain()
    assert len(asking.queue.events) == len(asking.ledger.holds) == len(await asking.messages()) == 1


async def test_a_message_that_is_joined_as_it_is_stored_is_seen_to(asking: Asking) -> None:
    """It was stored after it was looked for, by a gateway that was killed right then."""
    asking.ask.threads = threads = MessageIsStoredLate(asking)
    late = asyncio.create_task(asking(client_message_id="c1"))
    async with asyncio.timeout(20):
        await threads.reached.wait()
        with await asking(client_message_id="c1") as first:
            asking.queue.events.clear()
            asking.ledger.holds.clear()
            asking.clock.pass_s(6)
            threads.go_on.set()
            with await late:
                await asking.ask.drain()
    assert [event.event_id for event in asking.queue.events] == [first.run_id]
    assert list(asking.ledger.holds) == [first.run_id]


async def test_the_same_message_begins_though_it_was_taken_back_meanwhile(asking: Asking) -> None:
    asking.ask.threads = threads = MessageIsStoredLate(asking)
    late = asyncio.create_task(asking(client_message_id="c1"))
    async with asyncio.timeout(20):
        await threads.reached.wait()
        asking.queue.error = PublishFailed()
        with pytest.raises(PublishFailed):
            await asking(client_message_id="c1")
        asking.queue.error = None
        threads.go_on.set()
        with await late as begun:
            assert list(asking.ledger.holds) == [begun.run_id]
    assert [message["run_id"] for message in await asking.messages()] == [begun.run_id]


async def test_another_message_that_is_sent_meanwhile_is_refused_all_the_same(asking: Asking) -> None:
    asking.ask.threads = threads = MessageIsStoredLate(asking)
    late = asyncio.create_task(asking(client_message_id="c1"))
    async with asyncio.timeout(20):
        await threads.reached.wait()
        with await asking(client_message_id="c2") as begun:
            threads.go_on.set()
            with pytest.raises(ThreadBusy):
                await late
    assert [message["run_id"] for message in await asking.messages()] == [begun.run_id]


async def test_whoever_comes_while_a_worker_learns_what_was_taken_back_is_to_try_again(
    asking: Asking,
) -> None:
    await asking.is_withdrawn_before_a_worker_has_it("Why?", state="active")
    with pytest.raises(Unavailable):
        await asking("Why?")
    assert len(asking.queue.events) == len(await asking.messages()) == 0
    await asking.services.db["runs"].update_one(
        {}, {"$set": {"state": "failed", "error": {"code": "withdrawn"}}}
    )
    with await asking("Why?"):
        assert len(asking.queue.events) == 1
