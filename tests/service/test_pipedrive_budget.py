"""A day's share that is several times too small, over Pipedrive's midnight and through restarts."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from pipedrive_sync.domain.budget import Purpose
from simulators.pipedrive.faults import ApiFault
from support.crm import BALANCE, QUOTA, USED, USER_ID, CrmOnTrial, crm_on
from support.crm_loops import CrmLoops, crm_loops
from support.ledger import finished

BERLIN = ZoneInfo("Europe/Berlin")
"""Pipedrive's midnight here; the test begins at 13 o'clock."""
HOUR_S, STEP_S = 3_600, 150
DAILY_TOKENS, SHARE = 5_000, 0.2
WRITE, READ = 5, 10
FULL = 100_000
PEOPLE = 50


@dataclass
class Company:
    crm: CrmOnTrial
    loops: CrmLoops
    people: dict[str, int]
    used: dict[str, int]
    turns_used: int = 0

    @property
    def cap(self) -> int:
        return self.crm.settings.budget.cap

    @property
    def today(self) -> str:
        return self.crm.simulator.limits.today

    def spent(self, day: str | None = None) -> int:
        """What Pipedrive itself counted."""
        return self.crm.simulator.limits.spent.get(day or self.today, 0)

    def allowance(self, purpose: Purpose) -> int:
        return self.crm.settings.budget.allowance(purpose)

    async def use(self, tokens: dict[str, int]) -> None:
        self.turns_used += 1
        runs = [
            finished(f"r{self.turns_used}-{user_id}", count, clock=self.crm.clock, user_id=user_id)
            for user_id, count in tokens.items()
        ]
        await self.crm.ledger.ledger.settlements.book(runs)
        for user_id, count in tokens.items():
            self.used[user_id] += count

    async def until(self, hour: int) -> None:
        """Let time pass until this hour by Pipedrive's clock, and have everybody use a little in each."""
        while True:
            await self.use(dict.fromkeys(self.people, 10))
            left_s = HOUR_S - self.crm.clock.now().timestamp() % HOUR_S
            await self.loops.pass_time(left_s, step_s=STEP_S)
            if self.crm.clock.now().astimezone(BERLIN).hour == hour:
                return

    def is_shown(self, user_id: str) -> bool:
        shown = (self.crm.shown(self.people[user_id], USED), self.crm.shown(self.people[user_id], BALANCE))
        return shown == (self.used[user_id], FULL - self.used[user_id])

    def not_shown(self) -> set[str]:
        return {user_id for user_id in self.people if not self.is_shown(user_id)}

    def written_since(self, at: datetime) -> list[str]:
        """Users whose figures were written, in order."""
        users = {person: user_id for user_id, person in self.people.items()}
        return [
            users[int(path.rpartition("/")[2])]
            for called_at, method, path, _ in self.crm.simulator.limits.calls
            if method == "PATCH" and called_at >= at
        ]


@asynccontextmanager
async def company_on(db_url: str) -> AsyncGenerator[Company]:
    limits = {"daily_tokens": DAILY_TOKENS, "zone": BERLIN}
    async with crm_on(
        db_url,
        limits=limits,
        pipedrive_daily_tokens=DAILY_TOKENS,
        pipedrive_budget_share=SHARE,
        pipedrive_time_zone="Europe/Berlin",
    ) as crm:
        user_ids = [f"u{n}" for n in range(PEOPLE)]
        people = {user_id: crm.person(user_id, **{USER_ID: user_id, QUOTA: FULL}) for user_id in user_ids}
        async with crm_loops(crm) as loops:
            yield Company(crm, loops, people, dict.fromkeys(user_ids, 0))


def users(first: int, last: int) -> set[str]:
    return {f"u{n}" for n in range(first, last)}


async def test_the_share_of_a_day_is_never_exceeded_and_after_midnight_it_goes_on_with_who_matters_most(
    db_url: str,
):
    async with company_on(db_url) as company:
        crm, first_day = company.crm, company.today
        await company.until(15)
        assert company.spent() > company.allowance("refresh") - WRITE
        assert company.not_shown()

        # Another process must know that refreshing has ended for today. Who has nothing left is shown.
        await company.loops.restart()
        await company.until(16)
        exhausted, crossed = users(0, 25), users(25, 40)
        await company.use(dict.fromkeys(exhausted, FULL) | dict.fromkeys(crossed, FULL * 85 // 100))
        since = crm.clock.now()
        await company.loops.pass_time(HOUR_S / 4, step_s=STEP_S)
        shown = set(company.written_since(since))
        assert shown
        assert shown < exhausted
        assert company.not_shown().isdisjoint(shown)

        # Nothing is left, not even for learning the fields, when a third process starts.
        await company.until(22)
        assert company.spent() > company.cap - READ
        await company.loops.restart()
        await company.until(23)
        assert company.not_shown() == set(company.people)

        await company.until(0)
        assert company.today > first_day
        midnight = crm.clock.now().replace(minute=0, second=0, microsecond=0)
        await company.loops.pass_time(HOUR_S / 2, step_s=STEP_S)
        assert company.not_shown() == set()
        written = company.written_since(midnight)
        left_over = exhausted - shown
        rank = {u: 0 if u in left_over else 1 if u in crossed else 2 for u in company.people}
        assert [rank[user_id] for user_id in written] == sorted(rank.values())
        assert company.spent(first_day) <= company.cap


async def test_a_whole_day_of_too_much_through_restarts_and_failures_ends_within_the_share(db_url: str):
    async with company_on(db_url) as company:
        crm, first_day = company.crm, company.today
        await company.until(0)
        day, turns_before = company.today, company.turns_used
        crm.simulator.faults.api = [
            ApiFault(kind="cut", times=3, method="PATCH"),
            ApiFault(kind="error", times=3, method="PATCH"),
            ApiFault(kind="burst", times=1),
        ]
        for hour in (2, 9, 20):
            await company.until(hour)
            await company.loops.restart()
        await company.until(0)
        wanted = (company.turns_used - turns_before) * PEOPLE * WRITE
        assert wanted > 5 * company.cap

        limits, cursors = crm.simulator.limits, crm.parts.stores.cursors
        spent = [company.spent(of_day) for of_day in (first_day, day)]
        assert all(company.cap - READ < tokens <= company.cap for tokens in spent)
        assert [await cursors.spent(of_day) for of_day in (first_day, day)] == spent
        refused = sum(cost for *_, cost in limits.calls) - sum(limits.spent.values())
        assert refused == 0, "Pipedrive had to refuse a call"
        assert limits.busiest <= limits.burst // 2
        await company.loops.pass_time(HOUR_S / 2, step_s=STEP_S)
        assert company.not_shown() == set()
