"""The gateway's application in the test's own process: real routes, chosen parts."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from common import redis_client
from common.amqp.dead_letters import Letter
from common.amqp.topology import Queue
from common.assistants import Assistant
from common.auth import issue_session
from common.clock import Clock
from common.events.envelope import Command, Event
from common.events.ledger import AccountReply, AccountView, OpenAccountV1
from common.mongo import client as mongo
from gateway.app import create_app
from gateway.asking.ask import Ask
from gateway.balances.listeners import BalanceListeners
from gateway.context import Services
from gateway.dashboard.dashboard import make_dashboard
from gateway.integration.inbox import Inbox
from gateway.limits.limits import Limits
from gateway.settings import Settings
from gateway.streaming.cancel import CancelRun
from gateway.streaming.hub import RunHub
from gateway.streaming.stored_runs import StoredRuns
from gateway.threads.repository import ThreadRepository
from support.clock import FakeClock

SECRET = "a-secret-for-tests-of-32-bytes-or-more"
NOWHERE = "mongodb://127.0.0.1:1/none?serverSelectionTimeoutMS=50"

R = TypeVar("R", bound=BaseModel)

ASSISTANT = Assistant(
    id="test",
    version=1,
    model="test-model",
    instructions="Answer.",
    max_input_tokens=10_000,
    max_output_tokens=1_000,
    min_output_tokens=100,
)


class FakeLedger:
    """Opens accounts with a balance; every command is kept in `commands`."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.error: Exception | None = None
        self.next_grant_at: datetime | None = None

    async def call(self, command: Command, reply: type[R], *, deadline_s: float = 5.0) -> R:
        self.commands.append(command)
        if self.error is not None:
            raise self.error
        assert isinstance(command, OpenAccountV1)
        account = AccountView(
            user_id=command.user_id,
            token_balance=50_000,
            token_held=1_000,
            token_available=49_000,
            token_grant=50_000,
            sequence=7,
            next_grant_at=self.next_grant_at,
        )
        return reply.model_validate(AccountReply(account=account).model_dump())


class FakePublisher:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: Exception | None = None

    async def publish(self, message: Event, *, deadline_s: float = 5.0) -> None:
        if self.error is not None:
            raise self.error
        self.events.append(message)


class FakeLetters:
    """No dead letters, and no queue to ask for them."""

    async def depth(self, queue: Queue) -> int:
        return 0

    async def look(self, queue: Queue, *, limit: int) -> list[Letter]:
        return []

    async def replay(
        self, queue: Queue, ids: Collection[str] | None, *, by: str, done: list[Letter], per_s: float = 0
    ) -> list[Letter]:
        return done

    async def drop(self, queue: Queue, ids: Collection[str] | None, *, done: list[Letter]) -> list[Letter]:
        return done


def gateway_settings(**values: Any) -> Settings:
    return Settings.model_validate({"shared_secret": SECRET, "login_url": "https://login.test/", **values})


def gateway_services(
    *,
    clock: Clock | None = None,
    db_url: str = NOWHERE,
    redis_url: str = "redis://127.0.0.1:1/0",
    **settings: Any,
) -> Services:
    """Join the parts as `bootstrap.py` does, with a ledger and a publisher that are easy to look into."""
    clock = clock or FakeClock()
    chosen = gateway_settings(**settings)
    db = mongo.connect(db_url, service="test")
    # One that answers late on a busy machine is not away.
    redis = redis_client.connect(redis_url, timeout_s=20)
    threads, stored_runs, stopping = ThreadRepository(db), StoredRuns(db), asyncio.Event()
    limits = Limits(
        redis,
        clock,
        messages_per_minute=chosen.messages_per_minute,
        streams_per_user=chosen.streams_per_user,
    )
    ledger, publisher = FakeLedger(), FakePublisher()
    hub = RunHub(redis, stored_runs, clock, stopping=stopping)
    ask = Ask(
        threads=threads,
        stored=stored_runs,
        hub=hub,
        ledger=ledger,
        publisher=publisher,
        limits=limits,
        assistant=ASSISTANT,
        clock=clock,
        runs_per_user=chosen.runs_per_user,
        message_bytes_max=chosen.message_bytes_max,
    )
    cancel = CancelRun(threads=threads, stored=stored_runs, hub=hub, publisher=publisher, clock=clock)
    return Services(
        settings=chosen,
        clock=clock,
        db=db,
        redis=redis,
        ledger=ledger,
        threads=threads,
        limits=limits,
        stored_runs=stored_runs,
        hub=hub,
        balances=BalanceListeners(stopping=stopping),
        ask=ask,
        cancel=cancel,
        inbox=Inbox(db),
        dashboard=make_dashboard(db, ask, cancel, letters=FakeLetters(), management=None),
        checks=(),
        stopping=stopping,
    )


@asynccontextmanager
async def gateway_client(services: Services, app: FastAPI | None = None) -> AsyncGenerator[httpx.AsyncClient]:
    """Speak to the application without a network."""
    transport = httpx.ASGITransport(app or create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url=services.settings.public_origin) as client:
        try:
            yield client
        finally:
            await close_services(services)


async def close_services(services: Services) -> None:
    """Close the connections. A second time does nothing."""
    await services.redis.aclose()
    services.db.client.close()


def session_of(services: Services, user_id: str = "u1", *, ttl_s: int = 3600, **claims: Any) -> str:
    """Sign a session that is valid by the services' own clock."""
    return issue_session(
        user_id, secret=SECRET, now=services.clock.now(), ttl=timedelta(seconds=ttl_s), claims=claims
    )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
