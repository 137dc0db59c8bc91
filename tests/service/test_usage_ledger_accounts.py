"""Accounts on a real database: who gets a hold, a grant or an adjustment when many ask at once."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from common.clock import SystemClock
from common.errors import Conflict, IdReused, InsufficientBalance, TooManyRuns, UnknownAccount
from common.events.envelope import Company
from common.mongo.clock import DatabaseClock
from support.clock import FakeClock
from support.ledger import SETTINGS, LedgerOnTrial, finished, hold_for, ledger_on, user
from usage_ledger.domain.account import Adjustment
from usage_ledger.settings import Settings


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def trial(db_url: str, clock: FakeClock) -> AsyncGenerator[LedgerOnTrial]:
    async with ledger_on(db_url, clock=clock) as trial:
        yield trial


def adjustment(request_id: str = "q1", **fields: Any) -> Adjustment:
    asked = Adjustment(
        request_id=request_id,
        user_id="u1",
        actor="op",
        reason="goodwill",
        token_balance=None,
        token_grant=None,
        expected_balance=None,
    )
    return replace(asked, **fields)


async def test_a_new_user_has_the_first_balance(trial: LedgerOnTrial):
    account = await trial.ledger.accounts.open(user(company=Company(id="acme", name="Acme")))
    assert (account.balance, account.available, account.token_grant, account.sequence) == (
        1_000,
        1_000,
        400,
        1,
    )
    stored = await trial.account()
    assert (stored["name"], stored["email"], stored["company"]["id"]) == ("Ada", "ada@example.org", "acme")
    (row,) = await trial.rows()
    assert (row["_id"], row["kind"], row["tokens"], row["actor"]) == (
        "open:u1",
        "opening",
        1_000,
        "usage-ledger",
    )
    (event,) = await trial.db["ledger_outbox"].find().to_list(None)
    assert event["body"]["account"]["token_balance"] == 1_000


async def test_a_user_is_opened_once_by_a_hundred_tabs_at_two_processes(db_url: str, trial: LedgerOnTrial):
    async with ledger_on(db_url) as other:
        openings = [t.ledger.accounts.open(user()) for t in (trial, other) for _ in range(50)]
        accounts = await asyncio.gather(*openings)
    assert {account.balance for account in accounts} == {1_000}
    assert [row["_id"] for row in await trial.rows()] == ["open:u1"]


async def test_a_profile_follows_the_session_and_presence_is_noted_once_a_minute(
    trial: LedgerOnTrial, clock: FakeClock
):
    await trial.ledger.accounts.open(user())
    opened_at = clock.now()
    clock.pass_s(59)
    await trial.ledger.accounts.open(user())
    assert (await trial.account())["last_active_at"] == opened_at
    clock.pass_s(1)
    await trial.ledger.accounts.open(user())
    assert (await trial.account())["last_active_at"] == clock.now()
    await trial.ledger.accounts.open(replace(user(), name="Ada Lovelace"))
    assert (await trial.account())["name"] == "Ada Lovelace"
    assert len(await trial.rows()) == 1


async def test_a_process_whose_clock_is_wrong_goes_by_the_time_of_the_database(trial: LedgerOnTrial):
    by_itself = DatabaseClock(trial.db, SystemClock())
    await by_itself.refresh()
    long_ago = DatabaseClock(trial.db, FakeClock(SystemClock().now() - timedelta(days=3)))
    await long_ago.refresh()
    assert abs(long_ago.now() - by_itself.now()) < timedelta(minutes=1)


class TestHolds:
    async def test_a_hold_is_taken_from_what_is_available(self, trial: LedgerOnTrial, clock: FakeClock):
        await trial.ledger.accounts.open(user())
        hold = await trial.ledger.accounts.place_hold(hold_for("r1", 300))
        assert hold.tokens == 300
        stored = await trial.account()
        assert (stored["balance"], stored["held"], stored["available"]) == (1_000, 300, 700)
        assert stored["holds"][0]["expires_at"] == clock.now() + SETTINGS.hold_ttl

    async def test_a_repeat_is_the_same_hold(self, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        first = await trial.ledger.accounts.place_hold(hold_for("r1", 300))
        repeats = await asyncio.gather(
            *(trial.ledger.accounts.place_hold(hold_for("r1", 200 + n)) for n in range(20))
        )
        assert set(repeats) == {first}
        assert (await trial.account())["held"] == 300

    async def test_the_output_is_cut_to_what_the_balance_pays_for(self, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        request = hold_for("r1", input_tokens=600, output_tokens_min=100, output_tokens_max=5_000)
        hold = await trial.ledger.accounts.place_hold(request)
        assert (hold.tokens, (await trial.account())["available"]) == (1_000, 0)

    async def test_exactly_as_many_of_a_hundred_start_as_the_balance_pays_for(
        self, db_url: str, trial: LedgerOnTrial
    ):
        await trial.ledger.accounts.open(user())
        async with ledger_on(db_url) as other:
            requests = [
                both.ledger.accounts.place_hold(hold_for(f"r{n}", 142, open_holds_max=100))
                for n, both in enumerate([trial, other] * 50)
            ]
            results = await asyncio.gather(*requests, return_exceptions=True)
        refused = [result for result in results if isinstance(result, InsufficientBalance)]
        assert (len(results) - len(refused), len(refused)) == (7, 93)
        stored = await trial.account()
        assert (stored["held"], stored["available"], len(stored["holds"])) == (7 * 142, 1_000 - 7 * 142, 7)

    async def test_no_more_than_the_allowed_number_is_open(self, db_url: str, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        async with ledger_on(db_url) as other:
            requests = [
                both.ledger.accounts.place_hold(hold_for(f"r{n}", 10))
                for n, both in enumerate([trial, other] * 10)
            ]
            results = await asyncio.gather(*requests, return_exceptions=True)
        assert sum(isinstance(result, TooManyRuns) for result in results) == 17
        assert len((await trial.account())["holds"]) == 3

    async def test_too_little_is_refused_with_what_is_needed(self, trial: LedgerOnTrial, clock: FakeClock):
        await trial.ledger.accounts.open(user())
        with pytest.raises(InsufficientBalance) as refusal:
            await trial.ledger.accounts.place_hold(hold_for("r1", 1_001))
        assert (refusal.value.extra["needed"], refusal.value.extra["available"]) == (1_001, 1_000)
        assert refusal.value.extra["next_grant_at"] == "2026-11-22T12:00:00.000Z"
        assert "1,001" in refusal.value.detail
        stored = await trial.account()
        assert (stored["refused_at"], stored["held"]) == (clock.now(), 0)

    async def test_a_refusal_beside_an_open_hold_is_not_the_end_of_the_balance(self, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        await trial.ledger.accounts.place_hold(hold_for("r1", 900))
        with pytest.raises(InsufficientBalance):
            await trial.ledger.accounts.place_hold(hold_for("r2", 200))
        assert (await trial.account())["refused_at"] is None

    async def test_nobody_holds_without_an_account(self, trial: LedgerOnTrial):
        with pytest.raises(UnknownAccount):
            await trial.ledger.accounts.place_hold(hold_for("r1"))

    async def test_a_released_hold_is_available_again_and_its_run_is_over(self, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        await trial.ledger.accounts.place_hold(hold_for("r1", 300))
        for _ in range(2):
            account = await trial.ledger.accounts.release_hold(run_id="r1", user_id="u1")
            assert (account.held, account.available) == (0, 1_000)
        with pytest.raises(Conflict):
            await trial.ledger.accounts.place_hold(hold_for("r1", 300))
        assert (await trial.account())["holds"] == []

    async def test_a_release_that_overtakes_its_hold_wins(self, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        await trial.ledger.accounts.release_hold(run_id="r1", user_id="u1")
        with pytest.raises(Conflict):
            await trial.ledger.accounts.place_hold(hold_for("r1"))
        assert (await trial.account())["held"] == 0

    async def test_hold_and_release_at_once_leave_nothing_held(self, db_url: str, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        async with ledger_on(db_url) as other:
            for n in range(20):
                await asyncio.gather(
                    trial.ledger.accounts.place_hold(hold_for(f"r{n}")),
                    other.ledger.accounts.release_hold(run_id=f"r{n}", user_id="u1"),
                    return_exceptions=True,
                )
        stored = await trial.account()
        assert (stored["held"], stored["available"], stored["holds"]) == (0, 1_000, [])

    async def test_a_late_request_for_a_settled_run_takes_nothing(
        self, trial: LedgerOnTrial, clock: FakeClock
    ):
        await trial.ledger.accounts.open(user())
        await trial.ledger.accounts.place_hold(hold_for("r1"))
        await trial.ledger.settlements.book([finished("r1", 50, clock=clock)])
        with pytest.raises(Conflict):
            await trial.ledger.accounts.place_hold(hold_for("r1"))
        assert (await trial.account())["held"] == 0


class TestGrants:
    async def spend_all(self, trial: LedgerOnTrial, *, run_id: str = "r1") -> None:
        balance = (await trial.account())["balance"]
        await trial.ledger.settlements.book([finished(run_id, balance, clock=trial.clock)])

    async def test_a_hundred_opens_at_nothing_give_one_grant(self, db_url: str, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        await self.spend_all(trial)
        async with ledger_on(db_url) as other:
            openings = [t.ledger.accounts.open(user()) for t in (trial, other) for _ in range(50)]
            accounts = await asyncio.gather(*openings)
        assert {account.balance for account in accounts} == {400}
        (grant,) = await trial.rows(kind="grant")
        assert (grant["_id"], grant["balance_before"], grant["balance_after"]) == ("grant:u1:3", 0, 400)

    async def test_a_refused_rest_is_granted_anew_once(self, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        with pytest.raises(InsufficientBalance):
            await trial.ledger.accounts.place_hold(hold_for("r1", 1_200))
        for _ in range(3):
            account = await trial.ledger.accounts.open(user())
            assert account.balance == 1_400
        hold = await trial.ledger.accounts.place_hold(hold_for("r1", 1_200))
        assert hold.tokens == 1_200

    async def test_the_next_grant_waits_for_its_period(self, db_url: str):
        clock = FakeClock()
        monthly = Settings(token_balance=1_000, token_grant=400, token_grant_period=timedelta(days=30))
        async with ledger_on(db_url, clock=clock, settings=monthly) as trial:
            await trial.ledger.accounts.open(user())
            await self.spend_all(trial)
            assert (await trial.ledger.accounts.open(user())).balance == 0
            with pytest.raises(InsufficientBalance) as refusal:
                await trial.ledger.accounts.place_hold(hold_for("r2", 10))
            assert refusal.value.extra["next_grant_at"] == "2026-12-22T12:00:00.000Z"
            assert refusal.value.retry_after_s == 30 * 24 * 3600
            clock.pass_s(30 * 24 * 3600)
            assert (await trial.ledger.accounts.open(user())).balance == 400


class TestAdjustments:
    async def test_balance_and_grant_are_set_with_a_row_that_tells_all(self, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        account = await trial.ledger.accounts.adjust(adjustment(token_balance=5_000, token_grant=50))
        assert (account.balance, account.available, account.token_grant) == (5_000, 5_000, 50)
        (row,) = await trial.rows(kind="adjustment")
        assert (row["_id"], row["tokens"], row["actor"], row["reason"]) == (
            "adjust:q1",
            4_000,
            "op",
            "goodwill",
        )
        assert (row["grant_before"], row["grant_after"]) == (400, 50)

    async def test_a_repeat_is_done_once_and_other_content_is_refused(self, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        await asyncio.gather(*(trial.ledger.accounts.adjust(adjustment(token_balance=70)) for _ in range(10)))
        assert len(await trial.rows(kind="adjustment")) == 1
        others: list[dict[str, Any]] = [{"token_balance": 71}, {"token_balance": 70, "reason": "another"}]
        for other in others:
            with pytest.raises(IdReused):
                await trial.ledger.accounts.adjust(adjustment(**other))

    async def test_of_two_operators_who_saw_the_same_balance_one_wins(
        self, db_url: str, trial: LedgerOnTrial
    ):
        await trial.ledger.accounts.open(user())
        async with ledger_on(db_url) as other:
            results = await asyncio.gather(
                trial.ledger.accounts.adjust(adjustment("q1", token_balance=10, expected_balance=1_000)),
                other.ledger.accounts.adjust(adjustment("q2", token_balance=20, expected_balance=1_000)),
                return_exceptions=True,
            )
        assert sum(isinstance(result, Conflict) for result in results) == 1
        assert len(await trial.rows(kind="adjustment")) == 1

    async def test_a_hold_stays_while_the_balance_is_set(self, trial: LedgerOnTrial):
        await trial.ledger.accounts.open(user())
        await trial.ledger.accounts.place_hold(hold_for("r1", 300))
        await trial.ledger.accounts.adjust(adjustment(token_balance=100))
        stored = await trial.account()
        assert (stored["balance"], stored["held"], stored["available"]) == (100, 300, -200)

    async def test_an_unknown_account_is_not_made(self, trial: LedgerOnTrial):
        with pytest.raises(UnknownAccount):
            await trial.ledger.accounts.adjust(adjustment(token_balance=1))
