"""The audit finds every kind of broken promise, and names it, on a database that was right before."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from common.mongo.client import Database
from common.usage_rollup import DAY, day_start
from support.clock import FakeClock
from support.ledger import LedgerOnTrial, finished, hold_for, ledger_on, user
from support.processes import python


@pytest.fixture
async def trial(db_url: str) -> AsyncGenerator[LedgerOnTrial]:
    """Two users over three days, with an open hold, all of it right."""
    clock = FakeClock()
    async with ledger_on(db_url, clock=clock) as trial:
        for name in ("u1", "u2"):
            await trial.ledger.accounts.open(user(name))
        for number in range(6):
            clock.pass_s(9 * 3600)
            run = finished(f"r{number}", 50, clock=clock, user_id=f"u{number % 2 + 1}")
            await trial.ledger.accounts.place_hold(hold_for(run.run_id, 80, user_id=run.user_id))
            await trial.store_run(run)
            await trial.ledger.settlements.book([run])
        await trial.ledger.accounts.place_hold(hold_for("open", 30))
        await trial.settle_down()
        yield trial


async def test_what_is_right_has_no_violations(trial: LedgerOnTrial):
    assert await trial.violations() == []
    assert await trial.violations(account="u1") == []
    assert await trial.violations(since=day_start(trial.clock.now()) - DAY) == []


async def balance_moved(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$inc": {"balance": 1, "available": 1}})


async def held_moved(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$inc": {"held": 5, "available": -5}})


async def available_moved(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$inc": {"available": 1}})


async def row_lost(db: Database) -> None:
    await db["transactions"].delete_one({"_id": "usage:r2"})


async def row_changed(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$inc": {"tokens": 7}})


async def balance_after_changed(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$inc": {"balance_after": 7}})


async def row_beyond(db: Database) -> None:
    row = await db["transactions"].find_one({"_id": "usage:r4"})
    assert row is not None
    await db["transactions"].insert_one(
        row | {"_id": "grant:u1:99", "kind": "grant", "sequence": row["sequence"] + 1}
    )


async def overage_hidden(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$set": {"hold_tokens": 10}})


async def run_not_settled(db: Database) -> None:
    run = await db["runs"].find_one({"_id": "r0"})
    assert run is not None
    await db["runs"].insert_one(run | {"_id": "r99"})


async def run_settled_otherwise(db: Database) -> None:
    await db["runs"].update_one({"_id": "r4"}, {"$inc": {"usage.output_tokens": 3}})


async def run_unknown(db: Database) -> None:
    await db["runs"].delete_one({"_id": "r4"})


async def account_lost(db: Database) -> None:
    await db["accounts"].delete_one({"_id": "u2"})


async def actor_missing(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$set": {"actor": ""}})


async def hold_not_swept(db: Database) -> None:
    update = {"$set": {"holds.0.expires_at": FakeClock().now()}}
    await db["accounts"].update_one({"_id": "u1"}, update)


async def hold_extended_for_ever(db: Database) -> None:
    update = {"$set": {"holds.0.placed_at": FakeClock().now()}}
    await db["accounts"].update_one({"_id": "u1"}, update)


async def settled_run_holds(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$set": {"holds.0.run_id": "r2"}})


async def event_stuck(db: Database) -> None:
    await db["ledger_outbox"].insert_one({"_id": "e_1", "at": FakeClock().now()})


async def increment_stuck(db: Database) -> None:
    await db["usage_increments"].insert_one({"_id": "e_1", "at": FakeClock().now(), "parts": []})


async def day_rollup_moved(db: Database) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": "day"})
    assert rollup is not None
    quarter = next(iter(rollup["quarters"]))
    await db["usage_rollups"].update_one({"_id": rollup["_id"]}, {"$inc": {f"quarters.{quarter}.i": 1}})


async def openings_rollup_moved(db: Database) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": "day", "totals.day.x_opening": {"$gt": 0}})
    assert rollup is not None
    await db["usage_rollups"].update_one({"_id": rollup["_id"]}, {"$inc": {"totals.day.t_opening": 1}})


async def users_rollup_lost(db: Database) -> None:
    await db["usage_rollups"].delete_one({"kind": "day_users"})


async def quarter_rollup_doubled(db: Database) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": "quarter_users"})
    assert rollup is not None
    await db["usage_rollups"].insert_one(rollup | {"_id": rollup["_id"] + "0"})


Damage = Callable[[Database], Awaitable[None]]
DAMAGES: list[tuple[Damage, str]] = [
    (balance_moved, "I1"),
    (held_moved, "I1"),
    (available_moved, "I1"),
    (row_lost, "I2"),
    (row_changed, "I2"),
    (balance_after_changed, "I2"),
    (row_beyond, "I2"),
    (overage_hidden, "I4"),
    (run_not_settled, "I5"),
    (run_settled_otherwise, "I5"),
    (run_unknown, "I7"),
    (account_lost, "I7"),
    (actor_missing, "I7"),
    (hold_not_swept, "I8"),
    (hold_extended_for_ever, "I8"),
    (settled_run_holds, "I8"),
    (event_stuck, "I10"),
    (increment_stuck, "I10"),
    (day_rollup_moved, "I12"),
    (openings_rollup_moved, "I12"),
    (users_rollup_lost, "I12"),
    (quarter_rollup_doubled, "I12"),
]


@pytest.mark.parametrize(("damage", "code"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
async def test_a_planted_violation_is_found_by_its_code(trial: LedgerOnTrial, damage: Damage, code: str):
    await damage(trial.db)
    assert code in {violation.code for violation in await trial.violations()}


@pytest.mark.parametrize("damage", [balance_moved, held_moved, day_rollup_moved, row_lost])
async def test_damage_of_today_is_found_without_reading_what_came_before(
    trial: LedgerOnTrial, damage: Damage
):
    await damage(trial.db)
    assert await trial.violations(since=day_start(trial.clock.now()) - 2 * DAY) != []


async def test_the_command_tells_by_its_exit_code(db_url: str, trial: LedgerOnTrial):
    # The command reads the real clock, by which all of this is long done or still to come.
    await trial.ledger.accounts.release_hold(run_id="open", user_id="u1")

    async def run(*options: str, url: str = db_url) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *python("usage_ledger", "audit", *options),
            env={**os.environ, "DB_URL": url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    code, output = await run()
    assert (code, "0 violations" in output) == (0, True), output
    await balance_moved(trial.db)
    code, output = await run("--json", "--account", "u1")
    found: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    assert (code, found[0]["code"], found[0]["ids"]) == (1, "I1", {"account": "u1"})
    assert found[-1]["violations"] == 1
    code, output = await run(url="mongodb://127.0.0.1:9/chat?serverSelectionTimeoutMS=200")
    assert code == 2


async def test_a_ledger_that_is_busy_shows_no_violations(trial: LedgerOnTrial):
    done = asyncio.Event()

    async def work(name: str) -> None:
        for number in range(15):
            run = finished(f"{name}.{number}", 4, clock=trial.clock, user_id=name)
            await trial.ledger.accounts.place_hold(hold_for(run.run_id, 20, user_id=name))
            await trial.store_run(run, finished_at=trial.clock.now() + timedelta(seconds=1))
            await trial.ledger.settlements.book([run])
            await trial.ledger.rollups.fold()

    async def audit() -> None:
        while not done.is_set():
            assert await trial.violations() == []

    async with asyncio.TaskGroup() as group:
        group.create_task(audit())
        await asyncio.gather(work("u1"), work("u2"))
        done.set()
