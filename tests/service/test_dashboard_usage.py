"""The report on usage, over what a real ledger has booked."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.events.envelope import Company, TokenUsage
from support.clock import FakeClock
from support.dashboard import DashboardOnTrial, dashboard_on
from support.ledger import finished, user

ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham")
ACME, BOREAL = Company(id="acme", name="Acme"), Company(id="b.c$1", name="Boréal")


OPERATORS = 25
SETTLEMENTS = 25
"""At least; they go on until every operator has looked once."""


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock(datetime(2026, 10, 20, 20, 50, tzinfo=UTC))


@pytest.fixture
async def on_trial(db_url: str, clock: FakeClock) -> AsyncGenerator[DashboardOnTrial]:
    async with dashboard_on(db_url, clock=clock) as on_trial:
        yield on_trial


async def book(on_trial: DashboardOnTrial, run_id: str, used: int, **fields: Any) -> None:
    await on_trial.trial.ledger.settlements.book(
        [finished(run_id, used, clock=on_trial.trial.clock, **fields)]
    )


async def history(on_trial: DashboardOnTrial, clock: FakeClock) -> None:
    """Thirty runs of two users, ten hours apart, over the end of summer time in Europe."""
    for name in ("u1", "u2"):
        await on_trial.trial.ledger.accounts.open(user(name, company=ACME))
    for number in range(30):
        clock.pass_s(10 * 3600 + 7 * 60)
        name, company = ("u1", ACME) if number % 3 else ("u2", BOREAL if number > 15 else ACME)
        usage = TokenUsage(
            input_tokens=number * 10, cached_tokens=number, output_tokens=7, reasoning_tokens=2
        )
        model = "big" if number % 2 else "small"
        await book(on_trial, f"r{number}", 0, user_id=name, company=company, usage=usage, model=model)
        if number == 20:
            await on_trial.trial.ledger.rollups.fold()


async def expected_tokens(on_trial: DashboardOnTrial, start: datetime, end: datetime) -> int:
    rows = on_trial.trial.db["transactions"].find({"kind": "usage", "at": {"$gte": start, "$lt": end}})
    return -sum([row["tokens"] async for row in rows])


@pytest.mark.parametrize("tz", ZONES)
async def test_the_report_is_of_the_rows_in_every_zone(on_trial: DashboardOnTrial, clock: FakeClock, tz: str):
    await history(on_trial, clock)
    report = await on_trial.usage("2026-10-22", "2026-10-29", tz)
    start, end = (datetime.fromisoformat(report[name]) for name in ("date_from", "date_to"))
    assert report["totals"]["total_tokens"] == await expected_tokens(on_trial, start, end)
    assert [day["day"] for day in report["by_day"]] == [f"2026-10-{day}" for day in range(22, 30)]
    assert [month["month"] for month in report["by_month"]] == ["2026-10"]
    previous = report["previous"]
    before = datetime.fromisoformat(previous["date_from"])
    assert previous["totals"]["total_tokens"] == await expected_tokens(on_trial, before, start)
    averages = report["averages"]
    assert averages["tokens_per_run"] == round(report["totals"]["total_tokens"] / report["totals"]["runs"], 1)
    assert averages["runs_per_active_user"] == report["totals"]["runs"] / 2


async def test_a_range_that_begins_and_ends_within_a_quarter_of_an_hour(
    on_trial: DashboardOnTrial, clock: FakeClock
):
    await history(on_trial, clock)
    rows = await on_trial.trial.rows(kind="usage", user_id="u1")
    start, end = rows[3]["at"], rows[12]["at"] + timedelta(milliseconds=1)
    report = await on_trial.usage(start.isoformat(), end.isoformat(), "Europe/Berlin")
    assert report["totals"]["total_tokens"] == await expected_tokens(on_trial, start, end)
    one_less = await on_trial.usage((start + timedelta(milliseconds=1)).isoformat(), end.isoformat())
    assert one_less["totals"]["runs"] == report["totals"]["runs"] - 1


async def test_a_change_of_company_does_not_rewrite_history(on_trial: DashboardOnTrial, clock: FakeClock):
    await history(on_trial, clock)
    early = await on_trial.usage("2026-10-20", "2026-10-25")
    await on_trial.trial.ledger.accounts.open(user("u1", company=Company(id="new", name="New")))
    assert await on_trial.usage("2026-10-20", "2026-10-25") == early | {
        "by_user": [
            row | {"company": {"id": "new", "name": "New"}} if row["user_id"] == "u1" else row
            for row in early["by_user"]
        ]
    }
    whole = await on_trial.usage("2026-10-20", "2026-11-05")
    names = {row["company"]["name"]: row["active_users"] for row in whole["by_company"]}
    assert names == {"Acme": 2, "Boréal": 1}


async def test_users_and_companies_are_named_and_the_most_used_comes_first(
    on_trial: DashboardOnTrial, clock: FakeClock
):
    await history(on_trial, clock)
    report = await on_trial.usage("2026-10-20", "2026-11-05")
    assert [row["user_id"] for row in report["by_user"]] == ["u1", "u2"]
    assert {row["name"] for row in report["by_user"]} == {"Ada"}
    assert {row["model"] for row in report["by_model"]} == {"big", "small"}
    assert report["totals"]["reasoning_tokens"] == 60
    assert report["totals"]["cached_tokens"] == sum(range(30))


async def test_nothing_at_all_is_a_report_too(on_trial: DashboardOnTrial):
    report = await on_trial.usage("2026-01-01", "2026-01-03", "Asia/Kathmandu")
    assert report["totals"] == report["previous"]["totals"]
    assert set(report["totals"].values()) == {0}
    assert report["averages"]["tokens_per_run"] is None
    assert [day["total_tokens"] for day in report["by_day"]] == [0, 0, 0]
    assert (report["by_user"], report["by_company"], report["by_model"]) == ([], [], [])


async def test_a_correction_counts_when_it_is_booked(on_trial: DashboardOnTrial, clock: FakeClock):
    await on_trial.trial.ledger.accounts.open(user("u1"))
    await book(on_trial, "r1", 100, estimated=True, provisional=True)
    clock.pass_s(2 * 86_400)
    await book(on_trial, "r1", 30)
    report = await on_trial.usage("2026-10-20", "2026-10-23")
    assert [day["total_tokens"] for day in report["by_day"]] == [100, 0, -70, 0]
    assert (report["totals"]["runs"], report["totals"]["estimated_runs"]) == (1, 0)


async def test_operators_never_see_half_of_a_settlement(db_url: str):
    """Every settlement books runs of 10 tokens, half of them input: so does whatever anybody sees."""
    clock = FakeClock(datetime(2026, 11, 22, 9, 59, 50, tzinfo=UTC))
    async with dashboard_on(db_url, clock=clock) as on_trial:
        users = [f"u{number}" for number in range(6)]
        for name in users:
            await on_trial.trial.ledger.accounts.open(user(name, company=ACME))
        done = asyncio.Event()
        seen: set[int] = set()
        looked: set[int] = set()
        settled = 0

        async def settle() -> None:
            nonlocal settled
            while settled < SETTLEMENTS or len(looked) < OPERATORS or len(seen) < 2:
                clock.pass_s(1)
                runs = [
                    finished(f"r{settled}.{name}", 10, clock=clock, user_id=name, company=ACME)
                    for name in users
                ]
                await on_trial.trial.ledger.settlements.book(runs)
                settled += 1
                if settled % 4 == 0:
                    await on_trial.trial.ledger.rollups.fold()
            done.set()

        async def watch(number: int) -> None:
            while not done.is_set():
                if number % 2:
                    await watch_rows(on_trial, len(users))
                else:
                    totals = (await on_trial.usage("2026-11-20", "2026-11-22", ZONES[2]))["totals"]
                    assert totals["total_tokens"] == 10 * totals["runs"] == 2 * totals["input_tokens"]
                    assert totals["runs"] % len(users) == 0
                    seen.add(totals["runs"])
                looked.add(number)

        async with asyncio.TaskGroup() as group:
            group.create_task(settle())
            for number in range(OPERATORS):
                group.create_task(watch(number))
        assert len(seen) > 1, "nobody looked while runs were settled"
        report = await on_trial.usage("2026-11-22", "2026-11-22")
        assert report["totals"]["runs"] == settled * len(users)


async def watch_rows(on_trial: DashboardOnTrial, users: int) -> None:
    """Page through all rows; each page's totals are of one moment, and no row comes twice or is left out."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    first_total: int | None = None
    while cursor or first_total is None:
        query = {"limit": 40} | ({"cursor": cursor} if cursor else {})
        page = await on_trial.get("/dashboard/transactions", **query)
        aggregate = page["aggregate"]
        runs = aggregate["usage"]["runs"]
        assert runs % users == 0
        assert aggregate["usage"]["total_tokens"] == 10 * runs
        assert page["total"] == aggregate["rows"] == runs + users
        assert aggregate["tokens"] == users * 1_000 - 10 * runs
        assert sum(kind["tokens"] for kind in aggregate["by_kind"].values()) == aggregate["tokens"]
        first_total = first_total or page["total"]
        rows += page["items"]
        cursor = page["next_cursor"]
    assert len({row["id"] for row in rows}) == len(rows) == first_total
