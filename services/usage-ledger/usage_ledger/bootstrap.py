"""Joins the parts of the ledger."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from pymongo.errors import PyMongoError

from common.amqp.broker import Broker
from common.amqp.publisher import Publisher
from common.amqp.rpc import CommandHandler
from common.amqp.topology import LEDGER_RPC, RUN_FINISHED
from common.clock import Clock, SystemClock
from common.crash_points import CrashPoints
from common.errors import Unavailable
from common.events.envelope import Command
from common.events.ledger import (
    AdjustAccountV1,
    BalanceChangedV1,
    OpenAccountV1,
    PlaceHoldV1,
    ReleaseHoldV1,
    SetQuotaV1,
)
from common.health import Check, mongo_check
from common.mongo.client import Database, connect
from common.mongo.clock import DatabaseClock
from common.mongo.indexes import ensure_indexes
from common.mongo.outbox import Outbox
from common.tasks import background_tasks
from common.tokens import count_tokens
from usage_ledger.audit.tail import TailAudit
from usage_ledger.handlers.adjust_account import AdjustAccount
from usage_ledger.handlers.open_account import OpenAccount
from usage_ledger.handlers.place_hold import PlaceHold
from usage_ledger.handlers.release_hold import ReleaseHold
from usage_ledger.handlers.set_quota import SetQuota
from usage_ledger.handlers.settle_ended import SettleEnded
from usage_ledger.handlers.settle_runs import SettleRuns
from usage_ledger.handlers.sweep_holds import SweepHolds
from usage_ledger.indexes import INDEXES
from usage_ledger.loops import every
from usage_ledger.settings import Settings
from usage_ledger.store.accounts import Accounts
from usage_ledger.store.holds import ExpiredHolds
from usage_ledger.store.journal import OUTBOX, Journal
from usage_ledger.store.quotas import Quotas
from usage_ledger.store.rollups import Rollups
from usage_ledger.store.runs import RunRecords
from usage_ledger.store.settlements import Settlements
from usage_ledger.store.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The parts of one process of the ledger, without the queue."""

    accounts: Accounts
    settlements: Settlements
    rollups: Rollups
    sweep: SweepHolds
    settle_ended: SettleEnded
    settle_runs: SettleRuns
    outbox: Outbox
    writers: tuple[Writer, Writer]
    commands: dict[type[Command], CommandHandler]


def build_ledger(settings: Settings, db: Database, publisher: Publisher, clock: Clock) -> Ledger:
    terms = settings.terms
    outbox = Outbox(db[OUTBOX], publisher, clock, events=(BalanceChangedV1,))
    # Two, so that a long fold keeps no settlement waiting.
    writer, folding_writer = Writer(db, clock), Writer(db, clock)
    crash_points = CrashPoints(settings.crash_at)
    journal = Journal(db, writer, outbox, clock, terms=terms, crash_points=crash_points)
    accounts = Accounts(db, journal, clock, terms=terms, hold_ttl=settings.hold_ttl)
    settlements = Settlements(db, journal, clock, terms=terms)
    runs = RunRecords(db)
    return Ledger(
        accounts=accounts,
        settlements=settlements,
        rollups=Rollups(db, folding_writer),
        sweep=SweepHolds(
            ExpiredHolds(db),
            runs,
            accounts,
            settlements,
            clock,
            hold_ttl=settings.hold_ttl,
            count_tokens=count_tokens,
        ),
        settle_ended=SettleEnded(runs, settlements, clock, hold_ttl=settings.hold_ttl),
        settle_runs=SettleRuns(settlements),
        outbox=outbox,
        writers=(writer, folding_writer),
        commands={
            OpenAccountV1: OpenAccount(accounts, clock, terms),
            PlaceHoldV1: PlaceHold(accounts),
            ReleaseHoldV1: ReleaseHold(accounts, clock, terms),
            AdjustAccountV1: AdjustAccount(accounts, clock, terms),
            SetQuotaV1: SetQuota(Quotas(db, journal, clock, terms=terms), clock, terms),
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
        # What a killed predecessor left open would be in the way for a minute.
        await ledger.writers[0].end_others()

        async def sweep() -> None:
            with suppress(PyMongoError):
                # The last answer stays good enough while the database is away; the sweep then waits too.
                await clock.refresh()
            await ledger.sweep()

        audit = TailAudit(db, clock, hold_ttl=settings.hold_ttl)

        loops = [
            ledger.outbox.run(),
            every(settings.sweep_every_s, sweep, name="sweep"),
            every(settings.sweep_every_s, ledger.settle_ended, name="settle_ended"),
            every(settings.fold_every_s, ledger.rollups.fold, name="fold"),
        ]
        if settings.audit_every_s:
            loops.append(audit.run(settings.audit_every_s))
        async with background_tasks(*loops) as tasks_check:
            await broker.serve_rpc(LEDGER_RPC, ledger.commands, prefetch=settings.rpc_prefetch)
            await broker.consume_batches(
                RUN_FINISHED, ledger.settle_runs, batch_max=settings.settle_batch_max
            )
            yield (mongo_check(db), broker.check, tasks_check, audit.check)
            await broker.drain(grace_s=settings.drain_s)
        with suppress(PyMongoError, Unavailable):
            # What is not folded now is folded by the next one.
            await ledger.rollups.fold()
        for writer in ledger.writers:
            await writer.close()
    db.client.close()
