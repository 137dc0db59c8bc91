"""Holds whose time is up, on a real database: the run is asked, then the hold ends or lives on."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from support.clock import FakeClock
from support.ledger import LedgerOnTrial, finished, hold_for, ledger_on, user
from usage_ledger.handlers.sweep_holds import SweepHolds
from usage_ledger.store.holds import ExpiredHolds

TTL_S = 900


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def trial(db_url: str, clock: FakeClock) -> AsyncGenerator[LedgerOnTrial]:
    """A user with a hold of 300 for run r1."""
    async with ledger_on(db_url, clock=clock) as trial:
        await trial.ledger.accounts.open(user())
        await trial.ledger.accounts.place_hold(hold_for("r1", 300))
        yield trial


async def open_holds(trial: LedgerOnTrial) -> list[str]:
    return [hold["run_id"] for hold in (await trial.account())["holds"]]


async def test_a_hold_is_left_alone_until_its_time_is_up(trial: LedgerOnTrial, clock: FakeClock):
    clock.pass_s(TTL_S - 1)
    assert await trial.ledger.sweep() == 0
    assert await open_holds(trial) == ["r1"]


async def test_a_run_that_never_began_gives_its_hold_back(trial: LedgerOnTrial, clock: FakeClock):
    clock.pass_s(TTL_S)
    assert await trial.ledger.sweep() == 1
    assert (await open_holds(trial), (await trial.account())["available"]) == ([], 1_000)
    assert await trial.rows(kind="usage") == []


async def test_a_finished_run_whose_event_was_lost_is_settled_from_its_record(
    trial: LedgerOnTrial, clock: FakeClock
):
    await trial.store_run(finished("r1", 120, clock=clock), state="cancelled")
    clock.pass_s(TTL_S)
    await trial.ledger.sweep()
    (row,) = await trial.rows(kind="usage")
    assert (row["tokens"], row["estimated"], row["reason"]) == (-120, False, "run cancelled")
    assert await open_holds(trial) == []


async def test_the_lost_event_may_still_come(trial: LedgerOnTrial, clock: FakeClock):
    run = finished("r1", 120, clock=clock)
    await trial.store_run(run)
    clock.pass_s(TTL_S)
    await asyncio.gather(trial.ledger.sweep(), trial.ledger.settlements.book([run]))
    assert len(await trial.rows(kind="usage")) == 1
    assert (await trial.account())["available"] == 880


async def test_a_run_that_is_going_on_keeps_its_hold(trial: LedgerOnTrial, clock: FakeClock):
    clock.pass_s(TTL_S)
    lease_until = clock.now() + timedelta(seconds=20)
    await trial.store_run(finished("r1", 0, clock=clock), state="active", usage=None, lease_until=lease_until)
    await trial.ledger.sweep()
    (hold,) = (await trial.account())["holds"]
    assert hold["expires_at"] == clock.now() + timedelta(seconds=60)
    assert await trial.ledger.sweep() == 0


async def test_an_abandoned_run_is_waited_for_and_then_estimated(trial: LedgerOnTrial, clock: FakeClock):
    lease_until = clock.now() + timedelta(seconds=30)
    run = finished("r1", 0, clock=clock)
    await trial.store_run(
        run,
        state="active",
        usage=None,
        lease_until=lease_until,
        text="one two three four",
        finished_at=None,
    )
    while clock.now() - lease_until < timedelta(seconds=2 * TTL_S - 90):
        clock.pass_s(60)
        await trial.ledger.sweep()
        assert await open_holds(trial) == ["r1"]
    clock.pass_s(120)
    await trial.ledger.sweep()
    (row,) = await trial.rows(kind="usage")
    assert (row["usage"]["input_tokens"], row["usage"]["output_tokens"]) == (70, 4)
    assert (row["estimated"], row["reason"], row["actor"]) == (True, "run abandoned", "usage-ledger")
    assert await open_holds(trial) == []


async def test_a_worker_that_comes_back_after_the_estimate_has_the_last_word(
    trial: LedgerOnTrial, clock: FakeClock
):
    run = finished("r1", 0, clock=clock)
    await trial.store_run(run, state="active", usage=None, text="", finished_at=None)
    for _ in range(31):
        clock.pass_s(60)
        await trial.ledger.sweep()
    assert (await trial.account())["balance"] == 930
    true = finished("r1", 55, clock=clock)
    await trial.store_run(true)
    await trial.ledger.settlements.book([true])
    assert (await trial.account())["balance"] == 945
    assert [row["kind"] for row in await trial.rows()] == ["opening", "usage", "correction"]
    await trial.settle_down()
    assert await trial.violations() == []


async def test_a_hold_of_a_settled_run_is_dropped(trial: LedgerOnTrial, clock: FakeClock):
    run = finished("r2", 10, clock=clock)
    await trial.store_run(run)
    await trial.ledger.settlements.book([run])
    hold = (await trial.account())["holds"][0] | {"run_id": "r2"}
    update = {
        "$push": {"holds": hold},
        "$inc": {"held": 300, "available": -300},
        "$set": {"closed_run_ids": []},
    }
    await trial.db["accounts"].update_one({"_id": "u1"}, update)
    clock.pass_s(TTL_S)
    await trial.ledger.sweep()
    assert (await trial.account())["available"] == 990
    assert len(await trial.rows(kind="usage")) == 1


async def test_many_holds_are_swept_in_pages_by_two_processes_at_once(
    db_url: str, trial: LedgerOnTrial, clock: FakeClock
):
    names = [f"x{n}" for n in range(24)]
    for name in names:
        await trial.ledger.accounts.open(user(name))
        await trial.ledger.accounts.place_hold(hold_for(f"r.{name}", 100, user_id=name))
    for name in names[::2]:
        run = finished(f"r.{name}", 40, clock=clock, user_id=name)
        await trial.store_run(run)
    clock.pass_s(TTL_S)

    def in_small_pages(some: LedgerOnTrial) -> SweepHolds:
        return SweepHolds(
            ExpiredHolds(some.db),
            some.ledger.accounts,
            some.ledger.settlements,
            clock,
            hold_ttl=some.settings.hold_ttl,
            count_tokens=len,
            accounts_max=5,
        )

    async with ledger_on(db_url, clock=clock) as other:
        await asyncio.gather(in_small_pages(trial)(), in_small_pages(other)())
    assert await trial.db["accounts"].count_documents({"held": {"$ne": 0}}) == 0
    assert len(await trial.rows(kind="usage")) == 12
    await trial.settle_down()
    assert await trial.violations() == []
