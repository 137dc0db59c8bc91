"""Joins the parts of the ledger."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from pymongo.errors import PyMongoError

from common.amqp.broker import Broker
from common.amqp.publisher import Publisher
from common.amqp.rpc import CommandHandler
from common.amqp.topology import LEDGER_RPC, RUN_FINISHED
from common.clock import Clock, SystemClock
from common.crash_points import CrashPoints
from common.events.envelope import Command
from common.events.ledger import AdjustAccountV1, BalanceChangedV1, OpenAccountV1, PlaceHoldV1, ReleaseHoldV1
from common.health import Check, mongo_check
from common.log import get_logger
from common.metrics import LEDGER_AUDITED_AT, LEDGER_VIOLATIONS
from common.mongo.client import Database, connect
from common.mongo.indexes import ensure_indexes
from common.mongo.outbox import Outbox
from common.tokens import count_tokens
from common.usage_rollup import DAY, day_start
from usage_ledger.audit.audit import Audit
from usage_ledger.audit.violation import CODES
from usage_ledger.handlers.adjust_account import AdjustAccount
from usage_ledger.handlers.open_account import OpenAccount
from usage_ledger.handlers.place_hold import PlaceHold
from usage_ledger.handlers.release_hold import ReleaseHold
from usage_ledger.handlers.settle_runs import SettleRuns
from usage_ledger.handlers.sweep_holds import SweepHolds
from usage_ledger.indexes import INDEXES
from usage_ledger.loops import every
from usage_ledger.settings import Settings
from usage_ledger.store.accounts import Accounts
from usage_ledger.store.clock import DatabaseClock
from usage_ledger.store.holds import ExpiredHolds
from usage_ledger.store.journal import OUTBOX, Journal
from usage_ledger.store.rollups import Rollups
from usage_ledger.store.settlements import Settlements

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The parts of one process of the ledger, without the queue."""

    accounts: Accounts
    settlements: Settlements
    rollups: Rollups
    sweep: SweepHolds
    settle_runs: SettleRuns
    outbox: Outbox
    commands: dict[type[Command], CommandHandler]


def build_ledger(settings: Settings, db: Database, publisher: Publisher, clock: Clock) -> Ledger:
    terms = settings.terms
    outbox = Outbox(db[OUTBOX], publisher, clock, events=(BalanceChangedV1,))
    journal = Journal(db, outbox, clock, terms=terms, crash_points=CrashPoints(settings.crash_at))
    accounts = Accounts(db, journal, clock, terms=terms, hold_ttl=settings.hold_ttl)
    settlements = Settlements(db, journal, clock, terms=terms)
    return Ledger(
        accounts=accounts,
        settlements=settlements,
        rollups=Rollups(db),
        sweep=SweepHolds(
            ExpiredHolds(db),
            accounts,
            settlements,
            clock,
            hold_ttl=settings.hold_ttl,
            count_tokens=count_tokens,
        ),
        settle_runs=SettleRuns(settlements),
        outbox=outbox,
        commands={
            OpenAccountV1: OpenAccount(accounts, clock, terms),
            PlaceHoldV1: PlaceHold(accounts, clock, terms),
            ReleaseHoldV1: ReleaseHold(accounts, clock, terms),
            AdjustAccountV1: AdjustAccount(accounts, clock, terms),
        },
    )


@asynccontextmanager
async def start(settings: Settings) -> AsyncGenerator[Sequence[Check]]:
    """Run the ledger; yields its readiness checks. Leaving it drains the queues and folds what is left."""
    db = connect(settings.db_url, service="usage-ledger")
    await ensure_indexes(db, INDEXES)
    clock = DatabaseClock(db, SystemClock())
    await clock.refresh()
    async with Broker(settings.amqp_url, service="usage-ledger") as broker:
        ledger = build_ledger(settings, db, broker.publisher, clock)
        async with _background(settings, ledger, db, clock) as tasks:
            await broker.serve_rpc(LEDGER_RPC, ledger.commands, prefetch=settings.rpc_prefetch)
            await broker.consume_batches(
                RUN_FINISHED, ledger.settle_runs, batch_max=settings.settle_batch_max
            )
            yield (mongo_check(db), _sync(broker.check), _sync(lambda: _ended(tasks)))
            await broker.drain(grace_s=settings.drain_s)
        await ledger.rollups.fold()
    db.client.close()


@asynccontextmanager
async def _background(
    settings: Settings, ledger: Ledger, db: Database, clock: DatabaseClock
) -> AsyncGenerator[Sequence[asyncio.Task[None]]]:
    async def sweep() -> None:
        with suppress(PyMongoError):
            # The last answer stays good enough while the database is away; the sweep then waits too.
            await clock.refresh()
        await ledger.sweep()

    async def audit() -> None:
        await audit_lately(db, clock, hold_ttl=settings.hold_ttl)

    loops: list[tuple[str, float, Callable[[], Awaitable[object]]]] = [
        ("sweep", settings.sweep_every_s, sweep),
        ("fold", settings.fold_every_s, ledger.rollups.fold),
        ("audit", settings.audit_every_s, audit),
    ]
    tasks = [asyncio.create_task(every(s, work, name=name), name=name) for name, s, work in loops if s]
    tasks.append(asyncio.create_task(ledger.outbox.run(), name="outbox"))
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def audit_lately(db: Database, clock: Clock, *, hold_ttl: timedelta) -> None:
    """Audit yesterday and today into the metrics; a full audit is for `python -m usage_ledger audit`."""
    found = dict.fromkeys(CODES, 0)
    async for violation in Audit(db, clock, hold_ttl=hold_ttl, since=day_start(clock.now()) - DAY).run():
        found[violation.code] += 1
        log.error("audit_violation", code=violation.code, what=violation.what, **violation.ids)
    for code, count in found.items():
        LEDGER_VIOLATIONS.labels(code=code).set(count)
    LEDGER_AUDITED_AT.set(clock.now().timestamp())


def _ended(tasks: Sequence[asyncio.Task[None]]) -> list[str]:
    return [f"{task.get_name()} has ended" for task in tasks if task.done()]


def _sync(check: Callable[[], list[str]]) -> Check:
    async def asked() -> Sequence[str]:
        return check()

    return asked
