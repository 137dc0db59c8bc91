"""Gateway, ledger, pipedrive-sync and the CRM's simulator in one process, by one clock that the test moves.

The database is real. HTTP goes from application to application without a network, and the queue is a
list that the test may empty in any order.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from common.amqp.delivery import Delivery
from common.errors import Unavailable
from common.events.envelope import Command, Event
from common.events.ledger import BalanceChangedV1, SetQuotaV1
from common.integration_inbox import InboxRow
from common.mongo.client import Document
from common.mongo.indexes import ensure_indexes
from gateway.app import create_app
from gateway.context import Services
from gateway.integration.inbox import INDEXES as INBOX_INDEXES
from gateway.integration.inbox import Inbox
from gateway.integration.relay import InboxRelay
from pipedrive_sync.commands.setup import Setup
from pipedrive_sync.parts import Api, Parts, build_client, build_parts
from pipedrive_sync.pipedrive.client import PipedriveClient
from pipedrive_sync.pipedrive.gate import PipedriveAway
from pipedrive_sync.settings import Settings
from pipedrive_sync.store.cursors import Cursors
from pipedrive_sync.store.indexes import INDEXES
from simulators.pipedrive.api import create_app as create_pipedrive
from simulators.pipedrive.simulator import TOKEN, Simulator
from support.clock import FakeClock
from support.gateway_app import FakePublisher, gateway_services
from support.ledger import LedgerOnTrial, ledger_on

R = TypeVar("R", bound=BaseModel)

USER, PASSWORD = "pipedrive", "a-password-of-the-integration"
QUOTA, USED, BALANCE, USER_ID = "Chat token quota", "Chat tokens used", "Chat token balance", "Chat user id"


class Calls:
    """The ledger as pipedrive-sync asks it, without a queue between.

    `is_away` cuts it off; for users of `nonsense_for` it answers what nobody can read.
    """

    def __init__(self, trial: LedgerOnTrial) -> None:
        self._trial = trial
        self.is_away = False
        self.nonsense_for: set[str] = set()
        self.commands: list[Command] = []

    async def call(self, command: Command, reply: type[R], *, deadline_s: float = 5.0) -> R:
        if self.is_away:
            raise Unavailable
        if isinstance(command, SetQuotaV1) and command.user_id in self.nonsense_for:
            return reply.model_validate({})
        self.commands.append(command)
        found = await self._trial.ledger.commands[type(command)](command)
        assert isinstance(found, reply)
        return found


@dataclass(kw_only=True)
class CrmOnTrial:
    clock: FakeClock
    simulator: Simulator
    ledger: LedgerOnTrial
    calls: Calls
    settings: Settings
    parts: Parts
    make_parts: Callable[[], Parts]
    """Joins them anew on the same database, as another process does."""
    services: Services
    http: httpx.AsyncClient
    """Speaks to the gateway with the credentials of the integration."""
    receiver: "Switch"
    to_pipedrive: "Switch"
    app: FastAPI
    """The gateway's application."""
    random: Random = field(default_factory=lambda: Random(7))

    @property
    def api(self) -> Api:
        assert self.parts.api is not None
        return self.parts.api

    @property
    def queue(self) -> list[Event]:
        assert isinstance(self.services.ask.publisher, FakePublisher)
        return self.services.ask.publisher.events

    async def make_fields(self) -> None:
        """Make our fields by hand and tell their keys, as without a token for the API."""
        company = self.simulator.company
        keys = {
            role: company.add_field(title, kind).code
            for role, title, kind in (
                ("quota", QUOTA, "double"),
                ("used", USED, "double"),
                ("balance", BALANCE, "double"),
                ("user_id", USER_ID, "varchar"),
            )
        }
        await self.parts.known.keep(keys)

    def person(self, name: str, **values: Any) -> int:
        """Make a person in the CRM by hand; `values` are fields of ours by their names, and `email`."""
        email = values.pop("email", None)
        company = self.simulator.company
        custom = {company.field_named(title).code: value for title, value in values.items()}
        by = self.simulator.by_hand
        return company.create("person", name, by=by, email=email, custom_fields=custom).id

    def edit(
        self, person_ids: Sequence[int], value: Any, *, title: str = QUOTA, is_bulk: bool = False
    ) -> None:
        self.simulator.edit(person_ids, title, value, is_bulk=is_bulk)

    def shown(self, person_id: int, title: str) -> Any:
        """What the CRM shows in a field."""
        company = self.simulator.company
        return company.persons[person_id].custom_fields.get(company.field_named(title).code)

    async def account(self, user_id: str) -> dict[str, Any] | None:
        return await self.ledger.db["accounts"].find_one({"_id": user_id})

    async def balance(self, user_id: str) -> int | None:
        account = await self.account(user_id)
        return account["balance"] if account else None

    async def waiting(self) -> dict[str, str]:
        """What waits for an operator, with the reason."""
        return {row["_id"]: row["why"] async for row in self.ledger.db["crm_waiting"].find()}

    async def decisions(self) -> dict[str, int]:
        """How often each thing became of a notification."""
        found: dict[str, int] = {}
        async for row in self.ledger.db["crm_decisions"].find():
            found[row["status"]] = found.get(row["status"], 0) + 1
        return found

    async def empty_queue(self, *, shuffled: bool = False, copies: int = 1) -> int:
        """Relay the inbox and hand all messages to pipedrive-sync; return how many there were."""
        await InboxRelay(self.services.inbox, self.services.ask.publisher).relay()
        events = self.queue * copies
        self.queue.clear()
        if shuffled:
            self.random.shuffle(events)
        for event in events:
            await self.parts.handle(_delivery(event.event_id, event))
        return len(events)

    async def bring_balances(self) -> None:
        """Bring the ledger's events to pipedrive-sync."""
        outbox = self.ledger.db["ledger_outbox"]
        for row in await outbox.find().to_list(None):
            await self.parts.balances(_delivery(row["_id"], BalanceChangedV1.model_validate(row["body"])))
            await outbox.delete_one({"_id": row["_id"]})

    async def hear_balances(self) -> None:
        """Bring them, and have them written down."""
        await self.bring_balances()
        await self.parts.balances.note()

    async def settle(self) -> None:
        """Let everything happen that needs no time to pass."""
        moved = 1
        while moved:
            moved = await self.simulator.deliveries.deliver_due()
            moved += await self.empty_queue()
        await self.hear_balances()

    async def pass_time(self, seconds: float, *, step_s: float = 10.0, writes: bool = True) -> None:
        """Let time pass with all that the service does meanwhile, reconciliation and supervision apart."""
        end_s = self.clock.monotonic_s() + seconds
        while (left_s := end_s - self.clock.monotonic_s()) > 0:
            self.clock.pass_s(min(step_s, left_s))
            await self.settle()
            await self.work(writes=writes)

    async def work(self, *, writes: bool = True) -> None:
        await self.parts.retry.once()
        await self.parts.sweep.once()
        try:
            await self.api.confirm.once()
            if writes:
                await self.api.send.once()
        except PipedriveAway:
            return
        await self.settle()


class PatientInbox(Inbox):
    """Stores however long the database takes. While `is_read`, what becomes of a row is waited for."""

    is_read = False

    async def add(self, row: InboxRow) -> None:
        await self._store(row)
        self._arrived.set()

    async def decision(self, row_id: str, *, within_s: float) -> Document | None:
        return await super().decision(row_id, within_s=30 if self.is_read else within_s)


class Switch(httpx.AsyncBaseTransport):
    """A way between Pipedrive and us. `is_down`: nobody answers. `cuts`: so many connections end first."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.is_down = False
        self.cuts = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("down", request=request)
        if self.cuts:
            self.cuts -= 1
            raise httpx.RemoteProtocolError("cut", request=request)
        return await self._inner.handle_async_request(request)


@asynccontextmanager
async def crm_on(
    db_url: str, *, limits: dict[str, Any] | None = None, **settings: Any
) -> AsyncGenerator[CrmOnTrial]:
    """Run all of it on a database; `settings` are those of pipedrive-sync."""
    clock = FakeClock()
    services = gateway_services(clock=clock, db_url=db_url, int_user=USER, int_password=PASSWORD)
    services = replace(services, inbox=PatientInbox(services.db))
    app = create_app(services)
    receiver = Switch(httpx.ASGITransport(app))
    simulator = Simulator(clock, transport=receiver, **(limits or {}))
    to_pipedrive = Switch(httpx.ASGITransport(create_pipedrive(simulator)))
    chosen = Settings.model_validate(
        {
            "pipedrive_token": TOKEN,
            "dist_url": "http://chat.test",
            "int_user": USER,
            "int_password": PASSWORD,
            **settings,
        }
    )

    async def sleep(seconds: float) -> None:
        clock.pass_s(seconds)

    async with (
        ledger_on(db_url, clock=clock) as ledger,
        httpx.AsyncClient(
            transport=to_pipedrive,
            base_url="http://pipedrive.test/api/",
            headers={"x-api-token": chosen.pipedrive_token},
        ) as pipedrive,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://chat.test",
            auth=(USER, PASSWORD),
        ) as http,
    ):
        await ensure_indexes(ledger.db, (*INDEXES, *INBOX_INDEXES))
        calls = Calls(ledger)

        def make_client(cursors: Cursors) -> PipedriveClient:
            return build_client(chosen, pipedrive, cursors, clock, sleep=sleep)

        def make_parts() -> Parts:
            client = make_client if chosen.pipedrive_token else None
            return build_parts(chosen, ledger.db, clock, ledger=calls, make_client=client)

        parts = make_parts()
        trial = CrmOnTrial(
            clock=clock,
            simulator=simulator,
            ledger=ledger,
            calls=calls,
            settings=chosen,
            parts=parts,
            make_parts=make_parts,
            services=services,
            http=http,
            receiver=receiver,
            to_pipedrive=to_pipedrive,
            app=app,
        )
        if parts.api is None:
            await trial.make_fields()
        else:
            setup = Setup(parts.api.client, parts.known, chosen.field_names, parts.api.supervise)
            async for _ in setup.run():
                pass
        try:
            yield trial
        finally:
            await simulator.close()
            await services.redis.aclose()
            services.db.client.close()


def _delivery(message_id: str, message: Any) -> Delivery:
    return Delivery(message=message, message_id=message_id, redelivered=False, attempt=1)
