"""Settlements on a real database: every run is booked once, whatever comes twice, at once or in between."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from pymongo.errors import PyMongoError

from common.amqp.delivery import DeadLetter, Delivery, Done
from common.crash_points import CrashPoints
from common.errors import AppError, Unavailable
from common.events.envelope import Company, TokenUsage
from common.events.runs import RunFinishedV1
from common.mongo.client import Database
from common.mongo.usage import usage_snapshot
from common.usage_rollup import DAY, Figures, Span, day_start
from common.usage_sums import UsageSums
from support.clock import FakeClock
from support.ledger import LedgerOnTrial, finished, hold_for, ledger_on, user
from usage_ledger.domain.settlement import FinishedRun
from usage_ledger.handlers.settle_runs import SettleRuns
from usage_ledger.store.journal import Journal
from usage_ledger.store.settlements import Settlements


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def trial(db_url: str, clock: FakeClock) -> AsyncGenerator[LedgerOnTrial]:
    async with ledger_on(db_url, clock=clock) as trial:
        yield trial


async def opened(trial: LedgerOnTrial, *user_ids: str) -> None:
    for user_id in user_ids:
        await trial.ledger.accounts.open(user(user_id))


async def book(trial: LedgerOnTrial, *runs: FinishedRun) -> None:
    for run in runs:
        await trial.store_run(run)
    await trial.ledger.settlements.book(runs)


async def test_a_settlement_writes_row_account_event_and_increment(trial: LedgerOnTrial, clock: FakeClock):
    await opened(trial, "u1")
    await trial.ledger.accounts.place_hold(hold_for("r1", 300))
    await trial.db["ledger_outbox"].delete_many({})
    await book(trial, finished("r1", 120, clock=clock))
    stored = await trial.account()
    assert (stored["balance"], stored["held"], stored["available"], stored["sequence"]) == (880, 0, 880, 2)
    (row,) = await trial.rows(kind="usage")
    assert (row["_id"], row["tokens"], row["hold_tokens"], row["overage"]) == ("usage:r1", -120, 300, 0)
    assert (row["usage"]["input_tokens"], row["model"], row["thread_id"]) == (60, "m", "t1")
    (event,) = await trial.db["ledger_outbox"].find().to_list(None)
    assert (event["body"]["cause"], event["body"]["run_id"], event["body"]["account"]["token_balance"]) == (
        "usage",
        "r1",
        880,
    )
    increments = await trial.db["usage_increments"].find().to_list(None)
    assert [len(increment["parts"]) for increment in increments] == [2, 5], "of the opening, and of the run"
    assert await trial.violations() == []


async def test_one_batch_closes_several_holds_of_a_user_and_books_runs_without_one(
    trial: LedgerOnTrial, clock: FakeClock
):
    await opened(trial, "u1")
    for run_id in ("r1", "r2", "r3"):
        await trial.ledger.accounts.place_hold(hold_for(run_id, 100))
    batch = [finished(run_id, 60, clock=clock) for run_id in ("r1", "late", "r2", "later")]
    await book(trial, *batch)
    stored = await trial.account()
    assert (stored["balance"], stored["held"], stored["available"]) == (760, 100, 660)
    assert [hold["run_id"] for hold in stored["holds"]] == ["r3"]
    await trial.settle_down()
    assert await trial.violations() == []


async def test_fifty_deliveries_at_two_processes_book_once(
    db_url: str, trial: LedgerOnTrial, clock: FakeClock
):
    await opened(trial, "u1")
    runs = [finished(f"r{n}", 10, clock=clock) for n in range(5)]
    async with ledger_on(db_url, clock=clock) as other:
        batches = [random.sample(runs, 5) + random.sample(runs, 2) for _ in range(10)]
        await asyncio.gather(*(t.ledger.settlements.book(batch) for batch in batches for t in (trial, other)))
    for run in runs:
        await trial.store_run(run)
    assert sorted(row["run_id"] for row in await trial.rows(kind="usage")) == [f"r{n}" for n in range(5)]
    assert (await trial.account())["balance"] == 950
    await trial.settle_down()
    assert await trial.violations() == []


async def test_holds_that_come_while_batches_are_booked_are_kept(
    db_url: str, trial: LedgerOnTrial, clock: FakeClock
):
    users = [f"u{n}" for n in range(10)]
    await opened(trial, *users)

    async def hold(ledger: LedgerOnTrial, n: int) -> None:
        await ledger.ledger.accounts.place_hold(
            hold_for(f"held{n}", 20, user_id=users[n % 10], open_holds_max=50)
        )

    async with ledger_on(db_url, clock=clock) as other:
        batches = [
            [finished(f"r{b}.{n}", 5, clock=clock, user_id=users[n]) for n in range(10)] for b in range(8)
        ]
        for batch in batches:
            for run in batch:
                await trial.store_run(run)
        await asyncio.gather(
            *(trial.ledger.settlements.book(batch) for batch in batches), *(hold(other, n) for n in range(60))
        )
    for user_id in users:
        stored = await trial.account(user_id)
        assert (stored["balance"], stored["held"], len(stored["holds"])) == (960, 120, 6)
    await trial.settle_down()
    assert await trial.violations() == []


async def test_debt_is_visible_and_stops_the_next_message(trial: LedgerOnTrial, clock: FakeClock):
    await opened(trial, "u1")
    await trial.ledger.accounts.place_hold(hold_for("r1", 900))
    await book(trial, finished("r1", 1_500, clock=clock))
    stored = await trial.account()
    assert (stored["balance"], stored["available"]) == (-500, -500)
    (row,) = await trial.rows(kind="usage")
    assert row["overage"] == 600
    with pytest.raises(AppError) as refusal:
        await trial.ledger.accounts.place_hold(hold_for("r2", 2))
    assert refusal.value.code == "insufficient_balance"


async def test_a_run_of_no_tokens_is_settled_too(trial: LedgerOnTrial, clock: FakeClock):
    await opened(trial, "u1")
    await trial.ledger.accounts.place_hold(hold_for("r1", 300))
    await book(trial, finished("r1", 0, clock=clock))
    (row,) = await trial.rows(kind="usage")
    assert (row["tokens"], (await trial.account())["available"]) == (0, 1_000)
    assert await trial.violations() == []


async def test_a_run_of_a_lost_account_is_booked(trial: LedgerOnTrial, clock: FakeClock):
    await book(trial, finished("r1", 1_200, clock=clock, user_id="gone"))
    assert [row["_id"] for row in await trial.rows()] == ["open:gone", "usage:r1"]
    assert (await trial.account("gone"))["balance"] == -200
    assert await trial.violations() == []


class Cut(CrashPoints):
    """Ends the work at a place as a crash would, but leaves the test alive."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place

    def reach(self, name: str) -> None:
        if name == self._place:
            raise ConnectionAbortedError(name)


@pytest.mark.parametrize(("place", "booked"), [("ledger.before_commit", 0), ("ledger.after_commit", 1)])
async def test_what_is_cut_off_around_the_commit_comes_again_and_is_booked_once(
    trial: LedgerOnTrial, clock: FakeClock, place: str, booked: int
):
    await opened(trial, "u1")
    await trial.ledger.accounts.place_hold(hold_for("r1", 300))
    run = finished("r1", 120, clock=clock)
    await trial.store_run(run)
    terms = trial.settings.terms
    writer = trial.ledger.writers[0]
    journal = Journal(trial.db, writer, trial.ledger.outbox, clock, terms=terms, crash_points=Cut(place))
    with pytest.raises(ConnectionAbortedError):
        await Settlements(trial.db, journal, clock, terms=terms).book([run])
    assert len(await trial.rows(kind="usage")) == booked
    await trial.ledger.settlements.book([run])
    assert len(await trial.rows(kind="usage")) == 1
    assert (await trial.account())["available"] == 880
    assert await trial.violations() == []


class TestDeadWriter:
    """A process that is killed inside a transaction leaves it open, and the account locked."""

    @pytest.fixture
    async def dead(self, db_url: str, trial: LedgerOnTrial) -> AsyncGenerator[LedgerOnTrial]:
        await opened(trial, "u1")
        async with ledger_on(db_url) as dead, AsyncExitStack() as undone:
            session = await undone.enter_async_context(dead.ledger.writers[0].transaction())
            await dead.db["accounts"].update_one({"_id": "u1"}, {"$inc": {"sequence": 7}}, session=session)
            yield dead
            # Ended by now from outside: its commit fails, as it would for a process that wakes up late.
            with pytest.raises(PyMongoError):
                await undone.aclose()

    @pytest.mark.usefixtures("dead")
    async def test_whoever_is_kept_out_by_it_ends_it(self, trial: LedgerOnTrial, clock: FakeClock):
        async with asyncio.timeout(30):
            await trial.ledger.settlements.book([finished("r1", 10, clock=clock)])
        assert (await trial.account())["balance"] == 990

    @pytest.mark.usefixtures("dead")
    async def test_whoever_starts_ends_it(self, trial: LedgerOnTrial):
        await trial.ledger.writers[0].end_others()
        async with asyncio.timeout(30):
            await trial.ledger.accounts.place_hold(hold_for("r1"))


def delivery(run_id: str, *, total: int = 10, user_id: str = "u1") -> Delivery:
    event = RunFinishedV1(
        event_id=run_id,
        occurred_at=FakeClock().now(),
        run_id=run_id,
        thread_id="t1",
        user_id=user_id,
        company=None,
        status="completed",
        usage=TokenUsage(output_tokens=total),
        usage_source="provider",
        model="m",
        assistant="a@1",
        attempt=1,
    )
    return Delivery(message=event, message_id=run_id, redelivered=False, attempt=1)


class TestBatchHandler:
    async def test_a_poisonous_event_does_not_sink_its_batch(self, trial: LedgerOnTrial):
        await opened(trial, "u1")
        poison = [delivery("p1", total=2**60), delivery("p2", total=2**70)]
        good = [delivery(f"r{n}") for n in range(5)]
        outcomes = await trial.ledger.settle_runs([good[0], poison[0], *good[1:4], poison[1], good[4]])
        assert [type(outcome) for outcome in outcomes] == [
            *(Done, DeadLetter, Done, Done),
            *(Done, DeadLetter, Done),
        ]
        assert len(await trial.rows(kind="usage")) == 5

    async def test_a_name_that_no_database_takes_does_not_sink_its_batch(self, trial: LedgerOnTrial):
        await opened(trial, "u1")
        outcomes = await trial.ledger.settle_runs([delivery("r1"), delivery("bad", user_id="a\ud800")])
        assert isinstance(outcomes[0], Done)
        assert not isinstance(outcomes[1], Done)

    async def test_an_absent_database_is_waited_for_without_using_up_retries(self, trial: LedgerOnTrial):
        await opened(trial, "u1")

        class AwayAtFirst:
            tries = 0

            async def book(self, runs: list[FinishedRun]) -> None:
                self.tries += 1
                if self.tries == 1:
                    raise Unavailable
                await trial.ledger.settlements.book(runs)

        settlements = AwayAtFirst()
        outcomes = await SettleRuns(settlements)([delivery("r1")])  # pyright: ignore[reportArgumentType]
        assert (outcomes, settlements.tries) == ([Done()], 2)
        assert len(await trial.rows(kind="usage")) == 1


async def sums_of(db: Database, span: Span) -> UsageSums[str]:
    async with usage_snapshot(db) as snapshot:
        return await snapshot.sums(UsageSums(span, [("all", span)]))


class TestRollups:
    async def test_folding_changes_nothing_that_a_reader_sees(self, trial: LedgerOnTrial, clock: FakeClock):
        await opened(trial, "u.1", "u$2")
        start = clock.now()
        for number in range(12):
            clock.pass_s(3 * 3600)
            company = Company(id="a.c~me", name="Acme") if number % 2 else None
            names = ("u.1", "u$2")
            runs = [
                finished(f"r{number}{n}", 7 + number, clock=clock, user_id=n, company=company) for n in names
            ]
            await book(trial, *runs)
        span = Span(start + timedelta(hours=1, minutes=7), clock.now() + timedelta(minutes=1))

        async def seen() -> tuple[Figures, Figures, int]:
            found = await sums_of(trial.db, span)
            return found.totals(), sum(found.by_user().values(), Figures()), found.active_users()

        before = await seen()
        assert before[0] == before[1]
        assert before[0].runs == 24
        assert before[0].total_tokens == 2 * sum(7 + number for number in range(12))
        assert before[2] == 2
        assert await trial.ledger.rollups.fold() == 14
        assert await seen() == before
        assert await trial.ledger.rollups.fold() == 0
        await trial.settle_down()
        assert await trial.violations() == []

    async def test_a_reader_is_exact_while_two_processes_fold_and_a_third_books(
        self, db_url: str, trial: LedgerOnTrial, clock: FakeClock
    ):
        await opened(trial, "u1")
        day = Span(day_start(clock.now()), day_start(clock.now()) + DAY)
        done = asyncio.Event()
        booked = 0

        async def fold(ledger: LedgerOnTrial) -> None:
            while not done.is_set():
                await ledger.ledger.rollups.fold()
                await asyncio.sleep(0.01)

        async def read() -> None:
            while not done.is_set():
                least = booked
                found = await sums_of(trial.db, day)
                runs = found.totals().runs
                assert least <= runs <= booked + 1
                assert runs == sum(found.by_user().values(), Figures()).runs

        async with ledger_on(db_url, clock=clock) as other, asyncio.TaskGroup() as group:
            group.create_task(fold(trial))
            group.create_task(fold(other))
            group.create_task(read())
            for number in range(40):
                await book(trial, finished(f"r{number}", 3, clock=clock))
                booked += 1
            done.set()
        await trial.settle_down()
        assert await trial.violations() == []


@pytest.mark.parametrize("used", [30, 100], ids=["another", "the same"])
async def test_a_true_figure_after_an_estimate_is_corrected_everywhere(
    trial: LedgerOnTrial, clock: FakeClock, used: int
):
    await opened(trial, "u1")
    guess = finished("r1", 100, clock=clock, estimated=True, provisional=True, actor="usage-ledger")
    await trial.ledger.settlements.book([guess])
    clock.pass_s(2 * 24 * 3600)
    true = replace(finished("r1", used, clock=clock), finished_at=guess.finished_at)
    for _ in range(3):
        await book(trial, true)
    assert [(row["kind"], row["tokens"]) for row in await trial.rows(user_id="u1")] == [
        ("opening", 1_000),
        ("usage", -100),
        ("correction", 100 - used),
    ]
    assert (await trial.account())["balance"] == 1_000 - used
    await trial.settle_down()
    assert await trial.violations() == []
