"""One user who asks, the parts around `Ask`, and a queue that can fail."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from common.auth import Session
from common.errors import AppError, PublishUnknown
from common.events.envelope import Event
from common.events.runs import RunRequestedV1
from common.ids import new_id
from common.mongo.indexes import ensure_indexes
from common.tasks import background_tasks
from gateway.asking.ask import Ask
from gateway.context import Services
from gateway.indexes import INDEXES
from gateway.streaming.follower import Follower
from gateway.threads.records import AT_THE_END, Place, Thread
from support.clock import FakeClock
from support.gateway_app import close_services, gateway_services
from support.hold_ledger import HoldLedger
from support.run_writer import RunWriter

USER = "u1"
SESSION = Session.model_validate({"sub": USER, "exp": 2**31, "company": {"id": "c1", "name": "ACME"}})


@dataclass(slots=True)
class Queue:
    """Keeps what is published; `error` is raised, after `before_error` if there is one.

    `waits` is told the deadline of what is not taken, which it lets pass.
    """

    events: list[Event] = field(default_factory=list[Event])
    error: AppError | None = None
    before_error: Callable[[RunRequestedV1], Awaitable[None]] | None = None
    waits: Callable[[float], None] | None = None

    async def publish(self, message: Event, *, deadline_s: float = 5.0) -> None:
        if self.error is None:
            self.events.append(message)
            return
        if self.before_error is not None:
            assert isinstance(message, RunRequestedV1)
            await self.before_error(message)
        if self.waits is not None:
            self.waits(deadline_s)
        raise self.error


@dataclass(slots=True)
class Asking:
    """One user with a thread, and the parts around `Ask`."""

    services: Services
    ledger: HoldLedger
    queue: Queue
    thread: Thread

    @property
    def ask(self) -> Ask:
        return self.services.ask

    @property
    def clock(self) -> FakeClock:
        clock = self.services.clock
        assert isinstance(clock, FakeClock)
        return clock

    async def __call__(
        self, text: str = "Why?", *, client_message_id: str | None = None, place: Place = AT_THE_END
    ) -> Follower:
        return await self.ask(
            SESSION, thread_id=self.thread.id, text=text, client_message_id=client_message_id, place=place
        )

    async def messages(self) -> list[dict[str, Any]]:
        return await self.services.db["messages"].find({}).to_list(None)

    async def worker_has(self, request: RunRequestedV1, *, state: str = "active", **fields: Any) -> None:
        run = RunWriter(self.services.redis, request.run_id)
        await run.store(self.services.db, state=state)
        stored = {
            "thread_id": request.thread_id,
            "message_id": request.message_id,
            "created_at": request.occurred_at,
        }
        await self.services.db["runs"].update_one({"_id": request.run_id}, {"$set": stored | fields})

    async def is_withdrawn_before_a_worker_has_it(self, text: str, *, state: str = "failed") -> None:
        """Send a message whose confirmation is lost; a worker claims its run, finds it gone, and ends it."""
        requests: list[RunRequestedV1] = []

        async def keep(request: RunRequestedV1) -> None:
            requests.append(request)

        self.queue.error, self.queue.before_error = PublishUnknown(), keep
        with pytest.raises(PublishUnknown):
            await self(text)
        self.queue.error = self.queue.before_error = None
        error = None if state == "active" else {"code": "withdrawn"}
        await self.worker_has(requests[0], state=state, error=error, context_tokens=1)

    async def nothing_is_left(self) -> bool:
        """Tell whether the thread is free, nothing is held, stored or followed."""
        await self.ask.drain()
        thread = await self.services.threads.find_thread(USER, self.thread.id)
        assert thread is not None
        active = await self.services.threads.active_run(thread, now=self.services.clock.now())
        return (active, self.ledger.holds, await self.messages(), self.services.hub.followers) == (
            None,
            {},
            [],
            0,
        )


@asynccontextmanager
async def user_who_asks(db_url: str, redis_url: str) -> AsyncGenerator[Asking]:
    """Give a user with an empty thread, at a gateway with a ledger and a queue in memory."""
    services = gateway_services(db_url=db_url, redis_url=redis_url, messages_per_minute=100)
    try:
        await ensure_indexes(services.db, INDEXES)
        thread = await services.threads.insert_thread(
            new_id("t"), user_id=USER, title="", now=services.clock.now()
        )
        ledger, queue = HoldLedger(), Queue()
        services.ask.ledger, services.ask.publisher = ledger, queue
        async with background_tasks(services.hub.run(), services.limits.run()):
            yield Asking(services, ledger, queue, thread)
    finally:
        await close_services(services)
