"""Rollups that are made anew from the rows: whatever became of them, the audit is content with them again."""

import asyncio
import os
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

import pytest

from common.mongo.usage import usage_snapshot
from common.usage_rollup import DAY, Figures, Span, day_start
from common.usage_sums import UsageSums
from support.clock import FakeClock
from support.ledger import LedgerOnTrial, finished, hold_for, ledger_of_three_days
from support.processes import python
from support.rollup_damage import OF_ROLLUPS, Damage, day_rollup_moved, rollups_lost
from usage_ledger.store.rebuild import Rebuild, Rebuilt
from usage_ledger.store.writer import WRITERS, Writer


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def trial(db_url: str, clock: FakeClock) -> AsyncGenerator[LedgerOnTrial]:
    async with ledger_of_three_days(db_url, clock=clock) as trial:
        yield trial


async def rebuilt(
    trial: LedgerOnTrial, *, first: datetime | None = None, last: datetime | None = None
) -> list[Rebuilt]:
    writer = Writer(trial.db, trial.clock)
    try:
        return [day async for day in Rebuild(trial.db, writer).run(first=first, last=last)]
    finally:
        await writer.close()


async def book(trial: LedgerOnTrial, name: str, *, user_id: str = "u1") -> None:
    run = finished(name, 4, clock=trial.clock, user_id=user_id)
    await trial.ledger.accounts.place_hold(hold_for(run.run_id, 20, user_id=user_id))
    await trial.store_run(run)
    await trial.ledger.settlements.book([run])


async def rollups(trial: LedgerOnTrial) -> dict[str, Any]:
    return {document["_id"]: document async for document in trial.db["usage_rollups"].find()}


async def test_what_is_right_is_not_written(trial: LedgerOnTrial):
    before = await rollups(trial)
    days = await rebuilt(trial)
    rows = await trial.rows()
    assert [day.day for day in days] == sorted({day_start(row["at"]) for row in rows})
    assert sum(day.rows for day in days) == len(rows)
    assert [day.written for day in days] == [0] * len(days)
    assert await rollups(trial) == before


@pytest.mark.parametrize("damage", [day_rollup_moved, *OF_ROLLUPS], ids=lambda damage: damage.__name__)
async def test_damage_is_mended(trial: LedgerOnTrial, damage: Damage):
    before = await rollups(trial)
    await damage(trial.db)
    assert await trial.violations() != []
    assert sum(day.written for day in await rebuilt(trial)) > 0
    assert await trial.violations() == []
    after = await rollups(trial)
    assert {name: after[name] for name in before} == before
    assert sum(day.written for day in await rebuilt(trial)) == 0


async def test_only_the_days_that_are_named_are_made_anew(trial: LedgerOnTrial):
    await rollups_lost(trial.db)
    today = day_start(trial.clock.now())
    assert [day.day for day in await rebuilt(trial, first=today, last=today + 9 * DAY)] == [today]
    assert await trial.violations(since=today) == []
    assert {violation.ids["day"] for violation in await trial.violations()} == {
        f"{today - days * DAY:%Y-%m-%d}" for days in (1, 2)
    }
    await rebuilt(trial, last=today - DAY)
    assert await trial.violations() == []


async def test_what_is_not_folded_yet_counts_once(trial: LedgerOnTrial, clock: FakeClock):
    await trial.ledger.accounts.release_hold(run_id="open", user_id="u1")
    await book(trial, "late")
    clock.pass_s(DAY.total_seconds())
    await book(trial, "later")
    day = day_start(clock.now()) - DAY
    await rebuilt(trial, first=day, last=day)
    await trial.db["ledger_outbox"].delete_many({})
    (increment,) = await trial.db["usage_increments"].find().to_list(None)
    assert {day_start(part["at"]) for part in increment["parts"] if "owner" not in part} == {day + DAY}
    assert await trial.violations() == []
    await rebuilt(trial)
    assert await trial.db["usage_increments"].count_documents({}) == 0
    await trial.settle_down()
    assert await trial.violations() == []


async def test_rollups_of_another_shape_show_nothing_until_they_are_made_anew(
    trial: LedgerOnTrial, clock: FakeClock
):
    """Such as a version may have written that was in use before."""
    rollups = trial.db["usage_rollups"]
    users = {"u1~acme": {"i": 25, "o": 25, "n": 1}}
    await rollups.update_many({"keys": {"$exists": True}}, {"$unset": {"keys": 1}, "$set": {"users": users}})
    for name in ("i", "c", "o", "r", "n", "e", "a0", "a1"):
        await rollups.update_many({name: {"$exists": True}}, {"$unset": {name: 1}})

    async def of_users() -> int:
        span = Span(day_start(clock.now()) - 5 * DAY, day_start(clock.now()) + DAY)
        sums: UsageSums[str] = UsageSums(span, [("all", span)])
        async with usage_snapshot(trial.db) as snapshot:
            found = await snapshot.sums(sums)
        return sum(found.by_user().values(), Figures()).runs

    assert await of_users() == 0
    # The former version ended before it had folded everything.
    part = {"_id": "day_users|2026-01-01|0", "kind": "day_users", "at": clock.now(), "users": users}
    await trial.db["usage_increments"].insert_one({"_id": "e_0", "at": clock.now(), "parts": [part]})
    await book(trial, "new")
    await trial.settle_down()
    assert await trial.db["usage_increments"].count_documents({}) == 0
    assert await of_users() == 1
    assert {violation.code for violation in await trial.violations()} == {"I12"}
    await rebuilt(trial)
    assert await of_users() == 7
    assert await trial.violations() == []


async def test_a_ledger_that_is_busy_is_mended_too(trial: LedgerOnTrial):
    done = asyncio.Event()

    async def work(name: str) -> None:
        for number in range(12):
            await book(trial, f"{name}.{number}", user_id=name)
            await trial.ledger.rollups.fold()

    async def mend() -> None:
        while not done.is_set():
            await day_rollup_moved(trial.db)
            await rebuilt(trial)

    async with asyncio.TaskGroup() as group:
        group.create_task(mend())
        await asyncio.gather(work("u1"), work("u2"))
        done.set()
    await trial.settle_down()
    assert await trial.violations() == []


async def test_the_command_goes_on_where_it_was_ended(db_url: str, trial: LedgerOnTrial):
    await trial.ledger.accounts.release_hold(run_id="open", user_id="u1")
    await rollups_lost(trial.db)
    today = trial.clock.now()

    async def run(*options: str, url: str = db_url) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *python("usage_ledger", "rebuild", *options),
            env={**os.environ, "DB_URL": url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    yesterday = f"{today - timedelta(days=1):%Y-%m-%d}"
    code, output = await run("--to", yesterday)
    assert (code, yesterday in output) == (0, True), output
    assert {violation.ids["day"] for violation in await trial.violations()} == {f"{today:%Y-%m-%d}"}
    code, output = await run()
    lines = output.splitlines()
    assert (code, len(lines)) == (0, 4), output
    assert lines[0].endswith(" 0 documents written")
    assert not lines[-2].endswith(" 0 documents written")
    assert await trial.violations() == []
    assert await trial.db[WRITERS].count_documents({}) == len(trial.ledger.writers)
    code, output = await run("--from", "yesterday")
    assert (code, "--from" in output) == (2, True), output
    code, output = await run(url="mongodb://127.0.0.1:9/chat?serverSelectionTimeoutMS=200")
    assert (code, "stopped" in output) == (2, True), output
