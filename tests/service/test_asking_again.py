"""The same message again: the run that it began, gone on with if whoever began it was killed."""

from collections.abc import AsyncGenerator

import pytest

from common.errors import IdReused, PublishUnknown
from common.events.runs import RunRequestedV1
from gateway.threads.records import Place
from support.asking import Asking, user_who_asks


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


async def test_asking_again_for_what_cannot_be_paid_any_more_ends_it(asking: Asking) -> None:
    with await asking(client_message_id="c1"):
        asking.ledger.holds.clear()
        asking.ledger.available = 0
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
