"""What the repository of threads promises to whoever sends a message."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from common.mongo.indexes import ensure_indexes
from gateway.context import Services
from gateway.indexes import INDEXES
from support.conversations import Conversations
from support.gateway_app import close_services, gateway_services


@pytest.fixture
async def services(db_url: str) -> AsyncGenerator[Services]:
    services = gateway_services(db_url=db_url)
    await ensure_indexes(services.db, INDEXES)
    yield services
    await close_services(services)


@pytest.fixture
def conversations(services: Services) -> Conversations:
    return Conversations(services.db, services.clock.now())


async def test_a_thread_is_taken_once(conversations: Conversations, services: Services):
    thread = await conversations.thread("u1")
    now = services.clock.now()
    taken = await asyncio.gather(
        *(services.threads.take_for_run(thread, run_id=f"r_{n:032x}", text="x", now=now) for n in range(10))
    )
    assert taken.count(True) == 1


async def test_a_deleted_thread_cannot_be_taken(conversations: Conversations, services: Services):
    thread = await conversations.thread("u1")
    now = services.clock.now()
    await services.threads.delete_thread("u1", thread.id, now=now)
    assert not await services.threads.take_for_run(thread, run_id="r_" + "0" * 32, text="x", now=now)


async def test_it_is_busy_until_its_run_is_over_or_can_no_longer_begin(
    conversations: Conversations, services: Services
):
    threads = services.threads
    thread = await conversations.thread("u1")
    now = services.clock.now()
    assert await threads.active_run(thread, now=now) is None

    message = await conversations.ask(thread, "Why?")
    thread = await threads.find_thread("u1", thread.id)
    assert thread is not None
    assert await threads.active_run(thread, now=now) == message.run_id
    assert await threads.active_run(thread, now=message.claim_until) is None

    await conversations.answer(message, state="active")
    assert await threads.active_run(thread, now=message.claim_until) == message.run_id
    await services.db["runs"].update_one({"_id": message.run_id}, {"$set": {"state": "failed"}})
    assert await threads.active_run(thread, now=now) is None


async def test_a_withdrawn_message_frees_its_thread(conversations: Conversations, services: Services):
    thread = await conversations.thread("u1")
    message = await conversations.ask(thread, "Why?")
    await services.threads.withdraw_message(message.run_id, "u1")
    thread = await services.threads.find_thread("u1", thread.id)
    assert thread is not None
    assert await services.threads.active_run(thread, now=services.clock.now()) is None


async def test_the_same_client_message_id_returns_the_stored_message(
    conversations: Conversations, services: Services
):
    thread, other = await conversations.thread("u1"), await conversations.thread("u2")
    first = await conversations.ask(thread, "one", client_message_id="c1")
    repeated = replace(first, id="m_" + "1" * 32, run_id="r_" + "1" * 32)
    assert await services.threads.insert_message(repeated) == first
    theirs = replace(first, id="m_" + "2" * 32, run_id="r_" + "2" * 32, user_id="u2", thread_id=other.id)
    assert await services.threads.insert_message(theirs) == theirs
    for number in (3, 4):
        without = replace(first, id=f"m_{number:032x}", run_id=f"r_{number:032x}", client_message_id=None)
        assert await services.threads.insert_message(without) == without


async def test_cancelling_marks_the_owners_run_only(conversations: Conversations, services: Services):
    message = await conversations.ask(await conversations.thread("u1"), "Why?")
    now = datetime(2026, 11, 22, 13, tzinfo=UTC)
    assert not await services.threads.mark_cancel_requested("u2", message.run_id, now=now)
    assert await services.threads.mark_cancel_requested("u1", message.run_id, now=now)
    stored = await services.threads.message_of_run("u1", message.run_id)
    assert stored is not None
    assert stored.cancel_requested_at == now


async def test_the_live_indexes_are_the_declared_ones(services: Services):
    for collection in {spec.collection for spec in INDEXES}:
        live = set(await services.db[collection].index_information())
        assert live == {spec.name for spec in INDEXES if spec.collection == collection} | {"_id_"}
