"""The ledger behind its queues: commands answered, settlements booked, events published, then drained."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from common.amqp import topology
from common.amqp.broker import Broker
from common.amqp.delivery import Delivery, Done, Outcome
from common.errors import InsufficientBalance, UnknownAccount
from common.events.envelope import Company, TokenUsage
from common.events.ledger import (
    AccountReply,
    AdjustAccountV1,
    BalanceChangedV1,
    HoldReply,
    OpenAccountV1,
    PlaceHoldV1,
    ReleaseHoldV1,
)
from common.events.runs import RunFinishedV1
from common.ids import new_id
from common.mongo.client import Database, connect
from support.clock import FakeClock
from usage_ledger.bootstrap import start
from usage_ledger.settings import Settings

ACME = Company(id="acme", name="Acme")


class Caller:
    """A gateway's side of the queue."""

    def __init__(self, broker: Broker, db: Database) -> None:
        self.broker = broker
        self.db = db
        self.balances: list[BalanceChangedV1] = []

    async def open(self) -> None:
        await self.broker.consume(topology.BALANCES, self._on_balance, prefetch=50)
        self._rpc = await self.broker.rpc_client()

    async def _on_balance(self, delivery: Delivery) -> Outcome:
        assert isinstance(delivery.message, BalanceChangedV1)
        self.balances.append(delivery.message)
        return Done()

    async def open_account(self, user_id: str = "u1") -> AccountReply:
        command = OpenAccountV1(
            request_id=new_id("q"), user_id=user_id, user_name="Ada", email=None, company=ACME
        )
        return await self._rpc.call(command, AccountReply, deadline_s=30)

    async def hold(self, run_id: str, tokens: int, *, user_id: str = "u1") -> HoldReply:
        command = PlaceHoldV1(
            request_id=new_id("q"),
            run_id=run_id,
            user_id=user_id,
            input_tokens=tokens - 1,
            output_tokens_min=1,
            output_tokens_max=1,
            open_holds_max=50,
        )
        return await self._rpc.call(command, HoldReply, deadline_s=30)

    async def release(self, run_id: str) -> AccountReply:
        command = ReleaseHoldV1(request_id=new_id("q"), run_id=run_id, user_id="u1")
        return await self._rpc.call(command, AccountReply, deadline_s=30)

    async def adjust(self, balance: int) -> AccountReply:
        command = AdjustAccountV1(
            request_id=new_id("q"), user_id="u1", actor="op", reason="test", token_balance=balance
        )
        return await self._rpc.call(command, AccountReply, deadline_s=30)

    async def finish(self, run_id: str, tokens: int) -> None:
        event = RunFinishedV1(
            event_id=run_id,
            occurred_at=FakeClock().now(),
            run_id=run_id,
            thread_id="t1",
            user_id="u1",
            company=ACME,
            status="completed",
            usage=TokenUsage(output_tokens=tokens),
            usage_source="provider",
            model="m",
            assistant="a@1",
            attempt=1,
        )
        await self.broker.publisher.publish(event, deadline_s=30)

    async def count(self, collection: str, **match: object) -> int:
        return await self.db[collection].count_documents(match)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.fixture
def settings(db_url: str, amqp_url: str) -> Settings:
    return Settings(
        db_url=db_url, amqp_url=amqp_url, token_balance=1_000, token_grant=0, fold_every_s=0.2, drain_s=5
    )


@asynccontextmanager
async def a_caller(settings: Settings) -> AsyncGenerator[Caller]:
    async with Broker(settings.amqp_url, service="test") as broker:
        db = connect(settings.db_url, service="test")
        caller = Caller(broker, db)
        try:
            await caller.open()
            yield caller
            await broker.drain(grace_s=20)
        finally:
            db.client.close()


async def test_a_run_from_hold_to_settlement(settings: Settings):
    async with a_caller(settings) as caller, start(settings) as checks:
        with pytest.raises(UnknownAccount):
            await caller.hold("r1", 100)
        assert (await caller.open_account()).account.token_balance == 1_000
        assert (await caller.hold("r1", 300)).hold_tokens == 300
        with pytest.raises(InsufficientBalance) as refusal:
            await caller.hold("r2", 701)
        assert (refusal.value.extra["available"], refusal.value.extra["next_grant_at"]) == (700, None)
        for _ in range(10):
            await caller.finish("r1", 120)

        async def told() -> bool:
            return any(event.cause == "usage" for event in caller.balances)

        await until(told)
        event = next(event for event in caller.balances if event.cause == "usage")
        assert (event.run_id, event.account.token_balance, event.account.token_held) == ("r1", 880, 0)

        async def quiet() -> bool:
            waiting = await caller.count("usage_increments") + await caller.count("ledger_outbox")
            return not waiting

        await until(quiet)
        assert await caller.count("transactions", kind="usage") == 1
        assert [problem for check in checks for problem in await check()] == []
        assert (await caller.adjust(50)).account.token_balance == 50
        await caller.hold("r3", 20)
        assert (await caller.release("r3")).account.token_held == 0


async def test_two_processes_share_the_work_and_one_takes_over_from_the_other(settings: Settings):
    async with a_caller(settings) as caller, start(settings):
        async with start(settings):
            await caller.open_account()
            holds = await asyncio.gather(
                *(caller.hold(f"r{n}", 142) for n in range(40)), return_exceptions=True
            )
            assert sum(isinstance(hold, HoldReply) for hold in holds) == 7
            await asyncio.gather(*(caller.finish(f"r{n % 7}", 10) for n in range(70)))
        await caller.finish("late", 10)

        async def booked() -> bool:
            return await caller.count("transactions", kind="usage") == 8

        await until(booked)
        account = await caller.db["accounts"].find_one({"_id": "u1"})
    assert account is not None
    held = [hold["tokens"] for hold in account["holds"]]
    assert (account["balance"], account["held"]) == (920, sum(held))


async def test_what_waits_at_the_end_is_folded(settings: Settings):
    slow = settings.model_copy(update={"fold_every_s": 600.0})
    async with a_caller(settings) as caller:
        async with start(slow):
            await caller.open_account()
            await caller.finish("r1", 120)

            async def booked() -> bool:
                return await caller.count("transactions", kind="usage") == 1

            await until(booked)
        assert await caller.count("usage_increments") == 0
        assert await caller.count("usage_rollups") == 5
