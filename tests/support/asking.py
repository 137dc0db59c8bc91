"""One user who asks, the parts around `Ask`, and a queue that can fail."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from common.auth import Session
from common.errors import AppError
from common.events.envelope import Event
from common.events.runs import RunRequestedV1
from gateway.asking.ask import AT_THE_END, Ask, Place
from gateway.context import Services
from gateway.streaming.follower import Follower
from gateway.threads.records import Thread
from support.hold_ledger import HoldLedger
from support.run_writer import RunWriter

USER = "u1"
SESSION = Session.model_validate({"sub": USER, "exp": 2**31, "company": {"id": "c1", "name": "ACME"}})


@dataclass(slots=True)
class Queue:
    """Keeps what is published; `error` is raised, after `before_error` if there is one."""

    events: list[Event] = field(default_factory=list[Event])
    error: AppError | None = None
    before_error: Callable[[RunRequestedV1], Awaitable[None]] | None = None

    async def publish(self, message: Event, *, deadline_s: float = 5.0) -> None:
        if self.error is None:
            self.events.append(message)
            return
        if self.before_error is not None:
            assert isinstance(message, RunRequestedV1)
            await self.before_error(message)
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

    async def __call__(
        self, text: str = "Why?", *, client_message_id: str | None = None, place: Place = AT_THE_END
    ) -> Follower:
        return await self.ask(
            SESSION, thread_id=self.thread.id, text=text, client_message_id=client_message_id, place=place
        )

    async def messages(self) -> list[dict[str, Any]]:
        return await self.services.db["messages"].find({}).to_list(None)

    async def worker_has(self, request: RunRequestedV1, *, state: str = "active") -> None:
        run = RunWriter(self.services.redis, request.run_id)
        await run.store(self.services.db, state=state)
        await self.services.db["runs"].update_one(
            {"_id": request.run_id}, {"$set": {"thread_id": request.thread_id}}
        )

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
