"""Stored events reach the queue, whatever else lies beside them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from common.amqp.publisher import Publisher
from common.events.envelope import Event
from common.events.ledger import AccountView, BalanceChangedV1
from common.mongo import client as mongo
from common.mongo.client import Database
from common.mongo.outbox import Outbox
from common.tasks import background_tasks
from support.clock import FakeClock

ACCOUNT = AccountView(
    user_id="u1", token_balance=5, token_held=0, token_available=5, token_grant=5, sequence=1
)


class Sent(Publisher):
    """Takes every event, as a broker does that is there. `failures`: so many times it fails first."""

    def __init__(self, failures: int = 0) -> None:
        self.event_ids: list[str] = []
        self._failures = failures

    async def publish(self, message: Event, *, deadline_s: float = 5.0) -> None:
        if self._failures:
            self._failures -= 1
            raise LookupError
        self.event_ids.append(message.event_id)

    async def until(self, *event_ids: str) -> None:
        async with asyncio.timeout(20):
            while self.event_ids != list(event_ids):
                await asyncio.sleep(0.02)


@pytest.fixture
def db(db_url: str) -> Iterator[Database]:
    db = mongo.connect(db_url, service="test")
    yield db
    db.client.close()


async def until_left(db: Database, count: int) -> None:
    """Wait until so many rows are left: one goes after its event was sent."""
    async with asyncio.timeout(20):
        while await db["outbox"].count_documents({}) != count:
            await asyncio.sleep(0.02)


def changed(event_id: str) -> BalanceChangedV1:
    return BalanceChangedV1(
        event_id=event_id, occurred_at=FakeClock().now(), account=ACCOUNT, company=None, cause="grant"
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"$unset": {"type": 1}},
        {"$set": {"type": "account.balance_changed.v2"}},
        {"$set": {"type": ["account.balance_changed.v1"]}},
        {"$unset": {"body": 1}},
        {"$set": {"body.account": None}},
        {"$unset": {"at": 1, "type": 1}},
    ],
)
async def test_rows_that_cannot_be_read_keep_no_other_waiting_and_are_not_lost(
    db: Database, damage: dict[str, Any]
):
    clock, sent = FakeClock(), Sent()
    outbox = Outbox(db["outbox"], sent, clock, events=(BalanceChangedV1,))
    rows = outbox.rows([changed(f"a_{number:03}") for number in range(250)])
    await db["outbox"].insert_many(rows)
    await db["outbox"].update_many({}, damage)
    await db["outbox"].insert_many(outbox.rows([changed("b")]))
    async with background_tasks(outbox.run()) as check:
        await sent.until("b")
        await db["outbox"].insert_many(outbox.rows([changed("c")]))
        outbox.wake()
        await sent.until("b", "c")
        await until_left(db, 250)
        assert await check() == []
    await db["outbox"].update_one({"_id": "a_007"}, {"$set": rows[7]})
    clock.pass_s(61)
    async with background_tasks(outbox.run()):
        await sent.until("b", "c", "a_007")
        await until_left(db, 249)


async def test_events_go_out_after_an_error_that_nobody_expected(db: Database):
    sent = Sent(failures=1)
    outbox = Outbox(db["outbox"], sent, FakeClock(), events=(BalanceChangedV1,))
    await db["outbox"].insert_many(outbox.rows([changed("a")]))
    async with background_tasks(outbox.run()):
        await sent.until("a")
