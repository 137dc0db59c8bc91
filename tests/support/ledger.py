"""A ledger on a real database, without the queue, by a clock that the test holds."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from aio_pika.abc import AbstractChannel

from common.amqp.publisher import Publisher
from common.clock import Clock
from common.events.envelope import Company, TokenUsage
from common.events.ledger import SetQuotaV1
from common.mongo.client import Database, connect
from common.mongo.indexes import ensure_indexes
from support.clock import FakeClock
from usage_ledger.audit.audit import Audit
from usage_ledger.audit.violation import Violation
from usage_ledger.bootstrap import Ledger, build_ledger
from usage_ledger.domain.account import Adjustment, HoldRequest, Profile
from usage_ledger.domain.settlement import FinishedRun
from usage_ledger.indexes import INDEXES
from usage_ledger.settings import Settings

SETTINGS = Settings(token_balance=1_000, token_grant=400)


@dataclass(kw_only=True)
class LedgerOnTrial:
    """One process's ledger, and a look into its database."""

    ledger: Ledger
    db: Database
    clock: Clock
    settings: Settings

    async def account(self, user_id: str = "u1") -> dict[str, Any]:
        account = await self.db["accounts"].find_one({"_id": user_id})
        assert account is not None
        return account

    async def rows(self, **match: Any) -> list[dict[str, Any]]:
        return await self.db["transactions"].find(match).sort([("user_id", 1), ("sequence", 1)]).to_list(None)

    async def settle_down(self) -> None:
        """Fold what is not folded, and take the events as published: there is no queue here."""
        await self.ledger.rollups.fold()
        await self.db["ledger_outbox"].delete_many({})

    async def violations(self, **options: Any) -> list[Violation]:
        audit = Audit(self.db, self.clock, hold_ttl=self.settings.hold_ttl, **options)
        return [violation async for violation in audit.run()]

    async def store_run(self, run: FinishedRun, **fields: Any) -> None:
        """Put the document in place that the worker keeps of a run."""
        document = {
            "thread_id": run.thread_id,
            "user_id": run.user_id,
            "company": run.company.model_dump() if run.company else None,
            "state": "completed",
            "fence": run.attempt,
            "lease_until": None,
            "usage": run.usage.model_dump(),
            "usage_source": "provider",
            "input_tokens_estimate": 70,
            "text": "",
            "model": run.model,
            "assistant": run.assistant,
            "response_id": None,
            "started_at": run.finished_at,
            "finished_at": run.finished_at,
        }
        await self.db["runs"].replace_one({"_id": run.run_id}, document | fields, upsert=True)


@asynccontextmanager
async def ledger_on(
    db_url: str, *, clock: Clock | None = None, settings: Settings = SETTINGS
) -> AsyncGenerator[LedgerOnTrial]:
    db = connect(db_url, service="test")
    try:
        await ensure_indexes(db, INDEXES)
        its_clock = clock or FakeClock()
        publisher = Publisher(_no_channel, service="test")
        ledger = build_ledger(settings, db, publisher, its_clock)
        yield LedgerOnTrial(ledger=ledger, db=db, clock=its_clock, settings=settings)
        for writer in ledger.writers:
            await writer.close()
    finally:
        db.client.close()


async def _no_channel() -> AbstractChannel:
    raise AssertionError("this ledger has no queue")


def user(user_id: str = "u1", **fields: Any) -> Profile:
    return Profile(user_id=user_id, name="Ada", email="ada@example.org", **fields)


def hold_for(run_id: str, tokens: int = 100, *, user_id: str = "u1", **fields: Any) -> HoldRequest:
    """A request for exactly so many tokens."""
    request = HoldRequest(
        run_id=run_id,
        user_id=user_id,
        input_tokens=tokens - 1,
        output_tokens_min=1,
        output_tokens_max=1,
        open_holds_max=3,
    )
    return replace(request, **fields)


def finished(run_id: str, used: int, *, clock: Clock, user_id: str = "u1", **fields: Any) -> FinishedRun:
    """A run with half of its tokens on either side, finished two minutes ago."""
    run = FinishedRun(
        run_id=run_id,
        thread_id="t1",
        user_id=user_id,
        company=Company(id="acme", name="Acme"),
        usage=TokenUsage(input_tokens=used // 2, output_tokens=used - used // 2),
        estimated=False,
        model="m",
        assistant="a@1",
        finished_at=clock.now() - timedelta(minutes=2),
        actor="chat-worker",
        reason="run completed",
    )
    return replace(run, **fields)


ADJUSTMENT = Adjustment(
    request_id="q1",
    user_id="u1",
    actor="op",
    reason="asked for",
    token_balance=900,
    token_grant=None,
    expected_balance=None,
)


async def _set_quota(trial: LedgerOnTrial) -> None:
    command = SetQuotaV1(
        request_id="q2",
        user_id="u2",
        quota=2_000,
        effective_at=trial.clock.now(),
        source_event="e1",
        actor="crm",
        reason="set there",
    )
    await trial.ledger.commands[SetQuotaV1](command)


@asynccontextmanager
async def ledger_of_three_days(db_url: str, *, clock: FakeClock) -> AsyncGenerator[LedgerOnTrial]:
    """Two users over three days, with an adjustment, a quota and an open hold, all of it right."""
    async with ledger_on(db_url, clock=clock) as trial:
        for name in ("u1", "u2"):
            await trial.ledger.accounts.open(user(name))
        for number in range(6):
            clock.pass_s(9 * 3600)
            run = finished(f"r{number}", 50, clock=clock, user_id=f"u{number % 2 + 1}")
            await trial.ledger.accounts.place_hold(hold_for(run.run_id, 80, user_id=run.user_id))
            await trial.store_run(run)
            await trial.ledger.settlements.book([run])
        await trial.ledger.accounts.adjust(ADJUSTMENT)
        await _set_quota(trial)
        await trial.ledger.accounts.place_hold(hold_for("open", 30))
        await trial.settle_down()
        yield trial
