"""Quotas on a real database: many at once, from two processes, again and again."""

import asyncio
import random
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from common.events.ledger import QuotaReply, SetQuotaV1
from support.clock import FakeClock
from support.ledger import LedgerOnTrial, finished, ledger_on, user


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def trial(db_url: str, clock: FakeClock) -> AsyncGenerator[LedgerOnTrial]:
    async with ledger_on(db_url, clock=clock) as trial:
        yield trial


def command(
    trial: LedgerOnTrial, quota: int, *, at_s: int = 0, event: str = "e1", user_id: str = "u1"
) -> SetQuotaV1:
    return SetQuotaV1(
        request_id=f"q_{event}",
        user_id=user_id,
        quota=quota,
        effective_at=trial.clock.now() + timedelta(seconds=at_s),
        source_event=event,
        actor="pipedrive:user:7",
        reason="quota of person 8 set in Pipedrive",
        email=" Ann@Example.com ",
    )


async def send(trial: LedgerOnTrial, sent: SetQuotaV1) -> QuotaReply:
    reply = await trial.ledger.commands[SetQuotaV1](sent)
    assert isinstance(reply, QuotaReply)
    return reply


async def test_a_user_nobody_knew_starts_with_the_quota(trial: LedgerOnTrial):
    reply = await send(trial, command(trial, 5_000))
    assert (reply.status, reply.quota, reply.account.token_balance) == ("applied", 5_000, 5_000)
    stored = await trial.account()
    assert (stored["quota"], stored["token_grant"], stored["email_key"]) == (5_000, 5_000, "ann@example.com")
    assert [row["kind"] for row in await trial.rows()] == ["opening", "quota"]


async def test_a_user_who_was_there_keeps_what_was_used(trial: LedgerOnTrial, clock: FakeClock):
    await trial.ledger.accounts.open(user())
    run = finished("r1", 300, clock=clock)
    await trial.store_run(run)
    await trial.ledger.settlements.book([run])
    reply = await send(trial, command(trial, 5_000))
    assert reply.account.token_balance == 4_700
    reply = await send(trial, command(trial, 200, at_s=1, event="e2"))
    assert reply.account.token_balance == -100
    await trial.settle_down()
    assert await trial.violations() == []


async def test_an_older_one_and_the_same_again_move_nothing(trial: LedgerOnTrial):
    newest = command(trial, 5_000, at_s=10, event="e2")
    assert (await send(trial, newest)).status == "applied"
    assert (await send(trial, newest)).status == "unchanged"
    assert (await send(trial, command(trial, 5_000, at_s=20, event="e3"))).status == "unchanged"
    late = await send(trial, command(trial, 1, at_s=15, event="e4"))
    assert (late.status, late.quota, late.account.token_balance) == ("stale", 5_000, 5_000)
    assert len(await trial.rows(kind="quota")) == 1


async def test_every_change_names_its_source_event_and_its_actor(trial: LedgerOnTrial):
    await send(trial, command(trial, 5_000))
    (row,) = await trial.rows(kind="quota")
    assert (row["source_event"], row["actor"]) == ("e1", "pipedrive:user:7")
    assert (row["quota_before"], row["quota_after"], row["tokens"]) == (None, 5_000, 5_000)
    event = await trial.db["ledger_outbox"].find_one({"body.cause": "quota"})
    assert event is not None
    assert event["body"]["account"]["token_balance"] == 5_000


async def test_a_crowd_in_any_order_at_two_processes_ends_with_the_newest(
    db_url: str, trial: LedgerOnTrial, clock: FakeClock
):
    await trial.ledger.accounts.open(user())
    sent = [command(trial, 100 * n, at_s=n, event=f"e{n:02d}") for n in range(1, 31)] * 2
    random.Random(3).shuffle(sent)
    async with ledger_on(db_url, clock=clock) as other:
        await asyncio.gather(*(send((trial, other)[n % 2], one) for n, one in enumerate(sent)))
        await other.settle_down()
    stored = await trial.account()
    assert (stored["quota"], stored["balance"], stored["quota_event"]) == (3_000, 3_000, "e30")
    await trial.settle_down()
    assert await trial.violations() == []
