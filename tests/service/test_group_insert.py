"""Documents that arrive together are one write, and each caller hears about its own."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from pymongo.errors import PyMongoError

from common.mongo import client as mongo
from common.mongo.client import Database
from gateway.integration.group_insert import GroupInsert


@pytest.fixture
async def db(db_url: str) -> AsyncGenerator[Database]:
    db = mongo.connect(db_url, service="test")
    yield db
    db.client.close()


async def test_hundreds_at_once_are_all_stored_once(db: Database):
    group = GroupInsert(db["rows"])
    await db["rows"].insert_one({"_id": "n7"})
    documents = [{"_id": f"n{n % 400}"} for n in range(500)]
    is_new = await asyncio.gather(*(group.insert(document) for document in documents))
    assert is_new.count(True) == 399
    assert not is_new[7]
    assert await db["rows"].count_documents({}) == 400


async def test_whoever_gives_up_waiting_does_not_harm_the_others(db: Database):
    group = GroupInsert(db["rows"])
    first = asyncio.create_task(group.insert({"_id": "a"}))
    await asyncio.sleep(0)
    first.cancel()
    assert await group.insert({"_id": "b"})
    assert await db["rows"].count_documents({}) == 2


async def test_a_failure_is_told_to_everybody_who_waits_and_ends_there(db: Database):
    nowhere = mongo.connect("mongodb://127.0.0.1:1/none", service="test", timeout_ms=200)
    group = GroupInsert(nowhere["rows"])
    try:
        results = await asyncio.gather(*(group.insert({"_id": n}) for n in range(3)), return_exceptions=True)
    finally:
        nowhere.client.close()
    assert all(isinstance(result, PyMongoError) for result in results)
