"""Everything at once, in any order, twice, by two processes: the books are right all the same."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from common.errors import Refused
from support.clock import FakeClock
from support.ledger import LedgerOnTrial, finished, hold_for, ledger_on, user
from usage_ledger.domain.account import Adjustment

USERS = ("u1", "u2", "u3")
RUNS = 40


class Disorder:
    """What may happen to a few users and many runs. The seed decides which, when, and how often."""

    def __init__(self, seed: int, clock: FakeClock, *processes: LedgerOnTrial) -> None:
        self._random = random.Random(seed)
        self._processes = processes
        self.runs = [
            finished(f"r{n}", self._random.randrange(120), clock=clock, user_id=self._random.choice(USERS))
            for n in range(RUNS)
        ]

    def steps(self) -> list[Callable[[], Awaitable[object]]]:
        steps = [
            step
            for run in self.runs
            for step in (
                *self._some(
                    lambda p, r=run: p.ledger.accounts.place_hold(self._hold(r.run_id, r.user_id)), 2
                ),
                *self._some(lambda p: p.ledger.settlements.book(self._random.sample(self.runs, 4)), 1),
            )
        ]
        for user_id in USERS:
            steps += self._some(lambda p, u=user_id: p.ledger.accounts.open(user(u)), 4)
            steps += self._some(lambda p, u=user_id: p.ledger.accounts.adjust(self._adjustment(u)), 3)
            steps += self._some(
                lambda p, u=user_id: p.ledger.accounts.release_hold(run_id=self._any_run(), user_id=u), 5
            )
        steps += self._some(lambda p: p.ledger.rollups.fold(), 6)
        steps += self._some(lambda p: p.ledger.sweep(), 3)
        self._random.shuffle(steps)
        return steps

    def _some(
        self, action: Callable[[LedgerOnTrial], Awaitable[object]], times: int
    ) -> list[Callable[[], Awaitable[object]]]:
        return [lambda: action(self._random.choice(self._processes)) for _ in range(times)]

    def _hold(self, run_id: str, user_id: str):
        return hold_for(run_id, self._random.randrange(2, 150), user_id=user_id, open_holds_max=6)

    def _adjustment(self, user_id: str) -> Adjustment:
        balance = self._random.randrange(-50, 2_000)
        return Adjustment(
            request_id=f"{user_id}.{balance}",
            user_id=user_id,
            actor="op",
            reason="disorder",
            token_balance=balance,
            token_grant=None,
            expected_balance=None,
        )

    def _any_run(self) -> str:
        return self._random.choice(self.runs).run_id


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_anything_ends_right(db_url: str, seed: int):
    clock = FakeClock()
    async with ledger_on(db_url, clock=clock) as one, ledger_on(db_url, clock=clock) as two:
        disorder = Disorder(seed, clock, one, two)
        for run in disorder.runs:
            await one.store_run(run)
        for user_id in USERS:
            await one.ledger.accounts.open(user(user_id))
        at_once = asyncio.Semaphore(6)

        async def carried_out(step: Callable[[], Awaitable[object]]) -> None:
            async with at_once:
                with contextlib.suppress(Refused):
                    await step()

        await asyncio.gather(*(carried_out(step) for step in disorder.steps()))
        assert [v for v in await one.violations() if v.code in {"I1", "I2", "I4", "I7", "I8", "I12"}] == []
        await one.ledger.settlements.book([*disorder.runs, *(replace(run) for run in disorder.runs)])
        clock.pass_s(901)
        await two.ledger.sweep()
        await one.settle_down()
        assert await one.violations() == []
        booked = {row["run_id"]: -row["tokens"] for row in await one.rows(kind="usage")}
        assert booked == {run.run_id: run.usage.total_tokens for run in disorder.runs}
        assert await one.db["accounts"].count_documents({"held": {"$ne": 0}}) == 0
