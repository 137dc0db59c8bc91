"""The relay of the inbox goes on, whatever is in a row."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import orjson
import pytest

from common.clock import SystemClock
from common.events.envelope import Event
from common.integration_inbox import InboxRow
from common.mongo.client import Database, connect
from gateway.integration.inbox import Inbox
from gateway.integration.relay import InboxRelay
from support.crm import QUOTA, USER_ID, CrmOnTrial, crm_on

WITHIN_S = 20
TOO_LONG = "w:" + "x" * 300


class StrictPublisher:
    """As the queue's client: it has no room for a long id."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def publish(self, message: Event, *, deadline_s: float = 5.0) -> None:
        if len(message.event_id.encode()) > 255:
            raise TypeError("Max length exceeded for short string")
        self.ids.append(message.event_id)


@pytest.fixture
async def db(db_url: str) -> AsyncGenerator[Database]:
    found = connect(db_url, service="test")
    yield found
    found.client.close()


async def add(inbox: Inbox, *ids: str) -> None:
    for row_id in ids:
        now = SystemClock().now()
        await inbox.add(InboxRow(id=row_id, channel="webhook", received_at=now, body="{}", actor="pipedrive"))


@asynccontextmanager
async def running(relay: InboxRelay) -> AsyncGenerator[asyncio.Task[None]]:
    task = asyncio.create_task(relay.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_published(db: Database) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await db["int_inbox"].count_documents({"to_publish": True}):
            await asyncio.sleep(0.02)


async def test_a_row_that_is_no_message_stops_neither_the_others_nor_the_relay(db: Database):
    inbox, publisher = Inbox(db), StrictPublisher()
    await add(inbox, TOO_LONG, "w:1", TOO_LONG + "2", "w:2")
    async with running(InboxRelay(inbox, publisher)) as task:
        await until_published(db)
        await add(inbox, "w:3")
        await until_published(db)
        assert not task.done()
    assert publisher.ids == ["w:1", "w:2", "w:3"]


async def test_a_row_that_nobody_can_read_is_put_aside(db: Database):
    inbox, publisher = Inbox(db), StrictPublisher()
    await db["int_inbox"].insert_one({"_id": "w:0", "to_publish": True, "received_at": SystemClock().now()})
    await add(inbox, "w:1")
    async with running(InboxRelay(inbox, publisher)) as task:
        await until_published(db)
        assert not task.done()
    assert publisher.ids == ["w:1"]


async def test_what_the_relay_could_not_send_is_decided_all_the_same(db_url: str):
    async with crm_on(db_url) as crm:
        webhook = await webhook_of(crm, quota=700)
        row = InboxRow(
            id=TOO_LONG, channel="webhook", received_at=crm.clock.now(), body=webhook, actor="pipedrive"
        )
        await crm.services.inbox.add(row)
        await InboxRelay(crm.services.inbox, StrictPublisher()).relay()
        await crm.pass_time(60)
        assert await crm.balance("u1") == 700


async def webhook_of(crm: CrmOnTrial, *, quota: int) -> str:
    """Have Pipedrive tell of a person, and take it from the inbox again."""
    crm.person("Ann", **{USER_ID: "u1", QUOTA: quota})
    await crm.simulator.deliveries.deliver_due()
    found = await crm.ledger.db["int_inbox"].find_one_and_delete({"body": {"$regex": "Ann"}})
    assert found is not None
    assert orjson.loads(found["body"])["data"]["name"] == "Ann"
    return found["body"]
