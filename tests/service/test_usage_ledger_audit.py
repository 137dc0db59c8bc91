"""The audit finds every kind of broken promise, and names it, on a database that was right before."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from common.health import Notice
from common.metrics import LEDGER_VIOLATIONS
from common.usage_rollup import DAY, day_start
from support.clock import FakeClock
from support.ledger import ADJUSTMENT, LedgerOnTrial, finished, hold_for, ledger_of_three_days
from support.ledger_damage import (
    MORE,
    THE_TWELVE,
    actor_missing,
    available_used_up,
    balance_moved,
    held_moved,
    row_lost,
)
from support.processes import python
from support.rollup_damage import Damage, day_rollup_moved
from usage_ledger.audit.chain import Chain
from usage_ledger.audit.tail import TailAudit
from usage_ledger.audit.violation import CODES


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def trial(db_url: str, clock: FakeClock) -> AsyncGenerator[LedgerOnTrial]:
    async with ledger_of_three_days(db_url, clock=clock) as trial:
        yield trial


async def test_what_is_right_has_no_violations(trial: LedgerOnTrial):
    assert await trial.violations() == []
    assert await trial.violations(account="u1") == []
    assert await trial.violations(since=day_start(trial.clock.now()) - DAY) == []


async def codes(trial: LedgerOnTrial, **options: Any) -> set[str]:
    return {violation.code for violation in await trial.violations(**options)}


def test_every_promise_has_its_violation():
    assert list(THE_TWELVE) == list(CODES) == [f"I{number}" for number in range(1, 13)]


@pytest.mark.parametrize("code", THE_TWELVE)
async def test_a_violation_of_each_promise_is_found_and_no_other(trial: LedgerOnTrial, code: str):
    await THE_TWELVE[code](trial.db)
    assert await codes(trial) == {code}
    assert await codes(trial, since=day_start(trial.clock.now()) - 2 * DAY) == {code}


@pytest.mark.parametrize(("damage", "found"), MORE, ids=[damage.__name__ for damage, _ in MORE])
async def test_other_damage_is_found_with_all_that_follows_from_it(
    trial: LedgerOnTrial, damage: Damage, found: set[str]
):
    await damage(trial.db)
    assert await codes(trial) == found


@pytest.mark.parametrize(
    "damage",
    [
        balance_moved,
        held_moved,
        day_rollup_moved,
        row_lost,
    ],
)
async def test_damage_of_today_is_found_without_reading_what_came_before(
    trial: LedgerOnTrial, damage: Damage
):
    await damage(trial.db)
    assert await trial.violations(since=day_start(trial.clock.now()) - 2 * DAY) != []


def gauge(code: str) -> float:
    return LEDGER_VIOLATIONS.labels(code=code)._value.get()


async def test_the_ledger_shows_what_is_broken_until_it_is_mended(trial: LedgerOnTrial):
    tail = TailAudit(trial.db, trial.clock, hold_ttl=trial.settings.hold_ttl)
    await tail.audit()
    assert list(await tail.check()) == []
    await balance_moved(trial.db)
    for _ in range(2):
        await tail.audit()
        assert [gauge(code) for code in CODES] == [1.0] + [0.0] * 11
    (notice,) = await tail.check()
    assert isinstance(notice, Notice)
    assert notice.startswith("audit I1: 1 times not so")
    await trial.db["accounts"].update_one({"_id": "u1"}, {"$inc": {"balance": -1, "available": -1}})
    await tail.audit()
    assert (gauge("I1"), list(await tail.check())) == (0.0, [])


async def test_a_clean_pass_is_not_done_again(trial: LedgerOnTrial, clock: FakeClock):
    await trial.ledger.accounts.release_hold(run_id="open", user_id="u1")
    tail = TailAudit(trial.db, clock, hold_ttl=trial.settings.hold_ttl)
    await tail.audit()
    clock.pass_s(1_800)
    run = finished("r9", 50, clock=clock)
    await trial.store_run(run)
    await trial.ledger.settlements.book([run])
    await trial.settle_down()
    # Damage to what a clean pass has seen is for the full audit.
    await actor_missing(trial.db)
    await tail.audit()
    assert [gauge(code) for code in CODES] == [0.0] * 12
    assert await codes(trial) == {"I7"}
    await trial.db["transactions"].update_one({"_id": "usage:r9"}, {"$set": {"actor": ""}})
    await tail.audit()
    assert gauge("I7") == 1


async def test_what_is_known_to_be_broken_is_logged_once(
    trial: LedgerOnTrial, capsys: pytest.CaptureFixture[str]
):
    tail = TailAudit(trial.db, trial.clock, hold_ttl=trial.settings.hold_ttl)
    await balance_moved(trial.db)
    for _ in range(2):
        await tail.audit()
    await actor_missing(trial.db)
    await tail.audit()
    logged = [line for line in capsys.readouterr().out.splitlines() if "audit_violation" in line]
    assert [("I1" in line, "I7" in line) for line in logged] == [(True, False), (False, True)]


async def test_a_row_that_comes_late_is_no_violation(trial: LedgerOnTrial):
    """It was stored after the one behind it had been read: both are read again, with their account."""
    rows = await trial.rows(user_id="u1")
    account = await trial.account("u1")
    chain = Chain("u1", from_start=True)
    early = [row for row in rows if row["sequence"] != 3]
    assert [violation for row in early for violation in chain.add(row)] == []
    again = [row for row in rows if row["sequence"] >= 3]
    assert list(chain.add_late(again, account)) == []
    assert list(chain.end(account)) == []


async def test_what_comes_in_pays_for_what_an_operator_took(trial: LedgerOnTrial):
    """After it, nothing explains a debt any more."""
    taken = replace(ADJUSTMENT, request_id="q7", token_balance=-5_000)
    given = replace(ADJUSTMENT, request_id="q8", token_balance=900)
    for adjustment in (taken, given):
        await trial.ledger.accounts.adjust(adjustment)
    await trial.settle_down()
    assert await trial.violations() == []
    await available_used_up(trial.db)
    assert await codes(trial) == {"I3"}


async def test_rows_are_read_a_few_at_a_time(trial: LedgerOnTrial):
    for number in range(30):
        run = finished(f"many{number}", 1, clock=trial.clock)
        await trial.store_run(run)
        await trial.ledger.settlements.book([run])
    await trial.settle_down()
    assert await trial.violations(batch_max=4) == []
    await day_rollup_moved(trial.db)
    assert await codes(trial, batch_max=4) == {"I12"}


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
