"""Dead letters sent again by a command that is killed, and by another one: each is applied once."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from common.amqp.broker import Broker
from common.amqp.delivery import DeadLetter, Delivery, Outcome
from common.amqp.topology import RUN_FINISHED
from common.events.runs import RunFinishedV1
from support.clock import FakeClock
from support.ledger import LedgerOnTrial, finished, hold_for, ledger_on, user
from support.processes import Program, python
from usage_ledger.domain.settlement import FinishedRun

LETTERS = 200
USERS = 10
TOKENS = 7


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(90):
        while not await condition():
            await asyncio.sleep(0.1)


async def refuse(_: Delivery) -> Outcome:
    return DeadLetter("the ledger had a bug")


def event_of(run: FinishedRun) -> RunFinishedV1:
    return RunFinishedV1(
        event_id=run.run_id,
        occurred_at=run.finished_at,
        run_id=run.run_id,
        thread_id=run.thread_id,
        user_id=run.user_id,
        company=run.company,
        status="completed",
        usage=run.usage,
        usage_source="provider",
        model=run.model,
        assistant=run.assistant,
        attempt=run.attempt,
    )


async def set_aside(broker: Broker, trial: LedgerOnTrial) -> None:
    """Have finished runs with their holds open, and all their events dead."""
    for number in range(USERS):
        await trial.ledger.accounts.open(user(f"u{number}"))
    consumer = await broker.consume(RUN_FINISHED, refuse, prefetch=50)
    for number in range(LETTERS):
        run = finished(f"r{number}", TOKENS, clock=trial.clock, user_id=f"u{number % USERS}")
        await trial.store_run(run)
        await trial.ledger.accounts.place_hold(
            hold_for(run.run_id, TOKENS, user_id=run.user_id, open_holds_max=LETTERS)
        )
        await broker.publisher.publish(event_of(run), deadline_s=30)

    async def all_dead() -> bool:
        return await broker.dead_letters().depth(RUN_FINISHED) == LETTERS

    await until(all_dead)
    await consumer.drain(grace_s=20)


@asynccontextmanager
async def replay(amqp_url: str, db_url: str, *, per_s: int) -> AsyncGenerator[Program]:
    options = ("replay", RUN_FINISHED.name, "--all", "--rate", str(per_s))
    env = {**os.environ, "AMQP_URL": amqp_url, "DB_URL": db_url}
    program = Program("replay", python("gateway.dashboard.dead_letters", *options), env=env)
    try:
        yield program
    finally:
        await program.close()


async def test_each_is_applied_once_though_the_command_is_killed(amqp_url: str, db_url: str):
    async with (
        Broker(amqp_url, service="usage-ledger") as broker,
        ledger_on(db_url, clock=FakeClock()) as trial,
    ):
        await set_aside(broker, trial)
        await broker.consume_batches(RUN_FINISHED, trial.ledger.settle_runs, batch_max=50)

        async def some_settled() -> bool:
            return len(await trial.rows(kind="usage")) >= LETTERS // 6

        # So slow that it is at it for a while yet when some of them are settled.
        async with replay(amqp_url, db_url, per_s=20) as killed:
            await until(some_settled)
            killed.send(signal.SIGKILL)
            await killed.ended()

        async def given_back() -> bool:
            return await broker.dead_letters().depth(RUN_FINISHED) > 0

        await until(given_back)
        async with replay(amqp_url, db_url, per_s=100) as again:
            assert await again.ended(within_s=90) == 0, again.output()

        async def all_settled() -> bool:
            return len(await trial.rows(kind="usage")) == LETTERS

        await until(all_settled)
        assert await broker.dead_letters().depth(RUN_FINISHED) == 0
        await trial.settle_down()
        assert await trial.violations() == []
        spent = TOKENS * LETTERS // USERS
        accounts = [await trial.account(f"u{number}") for number in range(USERS)]
        assert {(account["balance"], account["held"]) for account in accounts} == {(1_000 - spent, 0)}
        lines = await trial.db["operator_actions"].find().sort("_id", 1).to_list(None)
        assert [line["outcome"] for line in lines] == ["started", "done"]
