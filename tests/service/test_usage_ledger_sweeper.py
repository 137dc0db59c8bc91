"""Holds whose time is up, on a real database: the run is asked, then the hold ends or lives on."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest

from chat_worker.runs.repository import INDEXES as RUN_INDEXES
from common.events.ledger import BalanceChangedV1
from common.mongo.indexes import ensure_indexes
from support.clock import FakeClock
from support.commands import examined, explain, recorded_reads, stages
from support.ledger import LedgerOnTrial, finished, hold_for, ledger_on, user
from usage_ledger.handlers.sweep_holds import SweepHolds
from usage_ledger.store.holds import ExpiredHolds
from usage_ledger.store.runs import RunRecords

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
            RunRecords(some.db),
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


@pytest.mark.parametrize(
    ("collection", "damage"),
    [
        pytest.param("runs", {"$unset": {"fence": 1}}, id="a run that cannot be read"),
        pytest.param("runs", {"$set": {"usage.input_tokens": 2**62}}, id="a run that cannot be booked"),
        pytest.param("accounts", {"$unset": {"closed_run_ids": 1}}, id="an account that cannot be read"),
        pytest.param("accounts", {"$unset": {"holds.0.tokens": 1}}, id="a hold that cannot be read"),
        pytest.param("accounts", {"$inc": {"sequence": -1}}, id="an account that is behind its rows"),
    ],
)
async def test_what_is_damaged_keeps_its_hold_and_no_other_one_waiting(
    trial: LedgerOnTrial, clock: FakeClock, collection: str, damage: dict[str, Any]
):
    await trial.store_run(finished("r1", 120, clock=clock))
    damaged = {"_id": "r1" if collection == "runs" else "u1"}
    whole = await trial.db[collection].find_one(damaged)
    assert whole is not None
    await trial.db[collection].update_one(damaged, damage)
    for name in ("u2", "u3"):
        await trial.ledger.accounts.open(user(name))
        await trial.ledger.accounts.place_hold(hold_for(f"r.{name}", 100, user_id=name))
    await trial.store_run(finished("r.u2", 40, clock=clock, user_id="u2"))
    clock.pass_s(TTL_S)
    await trial.ledger.sweep()
    assert [row["run_id"] for row in await trial.rows(kind="usage")] == ["r.u2"]
    assert await trial.db["accounts"].count_documents({"held": {"$ne": 0}}) == 1
    assert await open_holds(trial) == ["r1"]
    # It is not tried again and again, and once it is whole, its hold ends as any other.
    assert await trial.ledger.sweep() == 0
    await trial.db[collection].replace_one(damaged, whole)
    clock.pass_s(60)
    assert await trial.ledger.sweep() == 1
    assert ((await trial.account())["available"], await open_holds(trial)) == (880, [])
    await trial.settle_down()
    assert await trial.violations() == []


class TestEndsThatWereNotTold:
    async def test_a_run_that_has_ended_is_settled_long_before_its_hold_expires(
        self, trial: LedgerOnTrial, clock: FakeClock
    ):
        run = finished("r1", 120, clock=clock)
        await trial.store_run(run, state="failed", finished_at=clock.now())
        clock.pass_s(29)
        assert await trial.ledger.settle_ended() == 0
        clock.pass_s(2)
        assert await trial.ledger.settle_ended() == 1
        (row,) = await trial.rows(kind="usage")
        assert (row["_id"], row["tokens"], row["reason"]) == ("usage:r1", -120, "run failed")
        assert (await open_holds(trial), (await trial.account())["available"]) == ([], 880)
        await trial.ledger.settlements.book([run, run])
        assert await trial.ledger.settle_ended() == 0
        assert len(await trial.rows(kind="usage")) == 1
        await trial.settle_down()
        assert await trial.violations() == []

    async def test_its_event_may_come_at_the_same_time(
        self, db_url: str, trial: LedgerOnTrial, clock: FakeClock
    ):
        run = finished("r1", 120, clock=clock)
        await trial.store_run(run)
        async with ledger_on(db_url, clock=clock) as other:
            await asyncio.gather(
                trial.ledger.settle_ended(), other.ledger.settle_ended(), other.ledger.settlements.book([run])
            )
        assert len(await trial.rows(kind="usage")) == 1
        assert (await trial.account())["available"] == 880
        await trial.settle_down()
        assert await trial.violations() == []

    async def test_what_goes_on_or_is_settled_is_left_alone(self, trial: LedgerOnTrial, clock: FakeClock):
        going_on = {"state": "active", "usage": None, "lease_until": clock.now(), "finished_at": None}
        await trial.store_run(finished("r1", 0, clock=clock), **going_on)
        done = finished("r2", 10, clock=clock)
        await trial.store_run(done)
        await trial.ledger.settlements.book([done])
        clock.pass_s(60)
        assert await trial.ledger.settle_ended() == 0
        assert await open_holds(trial) == ["r1"]
        assert len(await trial.rows(kind="usage")) == 1

    async def test_every_end_is_looked_at_whenever_the_ledger_comes_by(
        self, trial: LedgerOnTrial, clock: FakeClock
    ):
        for number in range(140):
            run = finished(f"many{number}", 1, clock=clock)
            await trial.store_run(run, finished_at=clock.now())
            clock.pass_s(3)
            if number % 9 == 0:
                await trial.ledger.settle_ended()
        clock.pass_s(31)
        await trial.ledger.settle_ended()
        assert len(await trial.rows(kind="usage")) == 140

    async def test_the_true_figures_of_an_estimated_run_are_booked_on_top(
        self, trial: LedgerOnTrial, clock: FakeClock
    ):
        run = finished("r1", 0, clock=clock)
        await trial.store_run(run, state="active", usage=None, text="", finished_at=None)
        for _ in range(31):
            clock.pass_s(60)
            await trial.ledger.sweep()
            await trial.ledger.settle_ended()
        assert (await trial.account())["balance"] == 930
        await trial.store_run(finished("r1", 55, clock=clock), finished_at=clock.now())
        clock.pass_s(31)
        assert await trial.ledger.settle_ended() == 1
        assert (await trial.account())["balance"] == 945
        await trial.settle_down()
        assert await trial.violations() == []

    async def test_a_run_that_cannot_be_booked_keeps_no_other_one_waiting(
        self, trial: LedgerOnTrial, clock: FakeClock
    ):
        await trial.store_run(finished("absurd", 2**62, clock=clock))
        await trial.store_run(finished("r1", 120, clock=clock))
        assert await trial.ledger.settle_ended() == 1
        assert [row["run_id"] for row in await trial.rows(kind="usage")] == ["r1"]

    async def test_one_that_cannot_be_read_keeps_no_other_one_waiting(
        self, trial: LedgerOnTrial, clock: FakeClock
    ):
        await trial.store_run(finished("torn", 5, clock=clock))
        await trial.db["runs"].update_one({"_id": "torn"}, {"$unset": {"fence": 1}})
        await trial.store_run(finished("r1", 120, clock=clock))
        assert await trial.ledger.settle_ended() == 1
        await trial.store_run(finished("later", 30, clock=clock), finished_at=clock.now())
        clock.pass_s(31)
        assert await trial.ledger.settle_ended() == 1
        assert {row["run_id"] for row in await trial.rows(kind="usage")} == {"r1", "later"}

    async def test_one_whose_account_cannot_be_written_keeps_no_other_one_waiting(
        self, trial: LedgerOnTrial, clock: FakeClock
    ):
        await trial.ledger.accounts.open(user("behind"))
        await trial.db["accounts"].update_one({"_id": "behind"}, {"$inc": {"sequence": -1}})
        await trial.store_run(finished("stuck", 5, clock=clock, user_id="behind"))
        await trial.store_run(finished("r1", 120, clock=clock))
        assert await trial.ledger.settle_ended() == 1
        await trial.store_run(finished("later", 30, clock=clock), finished_at=clock.now())
        clock.pass_s(31)
        assert await trial.ledger.settle_ended() == 1
        assert {row["run_id"] for row in await trial.rows(kind="usage")} == {"r1", "later"}

    @pytest.mark.parametrize("lacking", [{"usage": None, "usage_source": None}, {"state": "active"}])
    async def test_an_end_that_is_not_whole_waits_for_its_event(
        self, trial: LedgerOnTrial, clock: FakeClock, lacking: dict[str, Any]
    ):
        run = finished("r1", 120, clock=clock)
        await trial.store_run(run, **lacking)
        assert await trial.ledger.settle_ended() == 0
        assert (await open_holds(trial), await trial.rows(kind="usage")) == (["r1"], [])
        await trial.ledger.settlements.book([run])
        (row,) = await trial.rows(kind="usage")
        assert (row["tokens"], row["estimated"]) == (-120, False)

    async def test_a_run_that_used_nothing_is_settled_as_its_event_would(
        self, trial: LedgerOnTrial, clock: FakeClock
    ):
        by_event = finished("r0", 0, clock=clock, reason="run failed")
        await trial.ledger.settlements.book([by_event])
        await trial.store_run(finished("r1", 0, clock=clock), state="failed", usage_source="none")
        assert await trial.ledger.settle_ended() == 1
        told, found = await trial.rows(kind="usage")
        # The event's run has another hold, and its worker for an actor.
        own = {"_id", "run_id", "actor", "sequence", "hold_tokens"}
        assert {k: v for k, v in found.items() if k not in own} == {
            k: v for k, v in told.items() if k not in own
        }
        assert (found["_id"], found["tokens"]) == ("usage:r1", 0)
        assert (await open_holds(trial), (await trial.account())["available"]) == ([], 1_000)

    @pytest.mark.parametrize(
        "order", ["event sweep", "sweep event", "event event sweep", "sweep event event"]
    )
    async def test_whatever_comes_first_books_the_run_and_tells_of_it_once(
        self, db_url: str, trial: LedgerOnTrial, clock: FakeClock, order: str
    ):
        run = finished("r1", 120, clock=clock)
        await trial.store_run(run)
        settled = 0
        for what in order.split():
            if what == "event":
                await trial.ledger.settlements.book([run])
            else:
                settled += await trial.ledger.settle_ended()
        assert settled == (1 if order.startswith("sweep") else 0)
        # A process that starts now looks at the same end again.
        async with ledger_on(db_url, clock=clock) as other:
            assert await other.ledger.settle_ended() == 0
        assert [row["_id"] for row in await trial.rows(kind="usage")] == ["usage:r1"]
        assert (await open_holds(trial), (await trial.account())["available"]) == ([], 880)
        told = await trial.db["ledger_outbox"].find({"body.run_id": "r1"}).to_list(None)
        assert [(event["type"], event["body"]["cause"]) for event in told] == [
            (BalanceChangedV1.routing_key(), "usage")
        ]
        await trial.settle_down()
        assert await trial.violations() == []

    async def test_two_reads_by_index_look_at_the_ends_of_the_time_since_and_at_no_others(
        self, trial: LedgerOnTrial, clock: FakeClock
    ):
        await ensure_indexes(trial.db, RUN_INDEXES)
        for number in range(60):
            run = finished(f"done{number}", 1, clock=clock)
            await trial.store_run(run, finished_at=clock.now())
            await trial.ledger.settlements.book([run])
            going_on = {"state": "active", "usage": None, "finished_at": None, "thread_id": f"t{number}"}
            await trial.store_run(finished(f"long{number}", 0, clock=clock), **going_on)
            clock.pass_s(5)
        await trial.ledger.settle_ended()
        clock.pass_s(10)
        with recorded_reads(trial.db) as reads:
            assert await trial.ledger.settle_ended() == 0
        assert [read["find"] for read in reads] == ["runs", "transactions"]
        for read in reads:
            plan = await explain(trial.db, read)
            assert "COLLSCAN" not in {stage["stage"] for stage in stages(plan)}
            # Two ends lie in these ten seconds.
            assert examined(plan) <= 2
