"""The worker without its queue: it is handed requests, on real servers, with a scripted model."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from chat_worker.engine.interface import Delta, Finished, Started
from chat_worker.files.keeper import FileKeeper
from chat_worker.runs import repository
from chat_worker.runs.active import ActiveRuns
from chat_worker.runs.execute import ExecuteRun
from chat_worker.runs.history import HistoryRepository
from chat_worker.runs.repository import RunRepository
from chat_worker.stream.writer import StreamWriter
from common import redis_client
from common.amqp.delivery import Delivery, Outcome
from common.assistants import Assistant
from common.clock import Clock, SystemClock
from common.crash_points import CrashPoints
from common.errors import Unavailable
from common.events.envelope import Event, TokenUsage
from common.events.runs import RunFinishedV1, RunRequestedV1
from common.ids import new_id
from common.mongo import client as mongo
from common.mongo.client import Database
from common.mongo.indexes import ensure_indexes
from common.run_stream import RunEvent, from_entry, stream_key
from common.tasks import background_tasks
from support.processes import free_port
from support.run_writer import NOW, THREAD, USER, message_row
from support.scripted_engine import Script, ScriptedEngine

LEASE_S = 30.0
ASSISTANT = Assistant(
    id="test",
    version=1,
    model="sim-1",
    instructions="Be brief.",
    max_input_tokens=1_000,
    max_output_tokens=100,
    min_output_tokens=10,
)

USAGE = TokenUsage(input_tokens=7, output_tokens=2)
WHOLE: Script = [
    Started("x", background=False),
    Delta("Hello "),
    Delta("world"),
    Finished("completed", USAGE),
]
"""An answer of two pieces, and what it used."""


class Announced:
    """Keeps what was published. `refusals`: so many times the queue is away first."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.refusals = 0

    async def publish(self, message: Event) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable
        self.events.append(message)


def request_for(run_id: str) -> RunRequestedV1:
    return RunRequestedV1(
        event_id=run_id,
        occurred_at=NOW,
        run_id=run_id,
        thread_id=THREAD,
        message_id="m" + run_id[1:],
        user_id=USER,
        company=None,
        assistant=ASSISTANT.reference,
        hold_tokens=500,
        input_tokens_estimate=20,
        max_output_tokens=100,
        claim_until=datetime(2100, 1, 1, tzinfo=UTC),
    )


@dataclass(slots=True, kw_only=True)
class WorkerOnTrial:
    """One worker process, as far as runs are concerned."""

    db: Database
    db_url: str
    redis: Redis
    writer: StreamWriter
    clock: Clock = field(default_factory=SystemClock)
    announced: Announced = field(default_factory=Announced)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(10))

    async def ask(self, **fields: Any) -> RunRequestedV1:
        """Store a message as the gateway does, and request its run."""
        run_id = new_id("r")
        await self.db["messages"].insert_one(message_row(run_id, **fields))
        return request_for(run_id)

    def runs(self, clock: Clock | None = None) -> RunRepository:
        return RunRepository(self.db, clock or self.clock, owner=new_id("a"), lease_s=LEASE_S)

    def executor(
        self,
        engine: ScriptedEngine,
        *,
        reads: Database | None = None,
        keeps: Database | None = None,
        run_max_s: float = 600.0,
    ) -> ExecuteRun:
        """Join the parts. `reads` and `keeps` are where it looks for messages, and where it puts files."""
        runs = self.runs()
        files = self.db if keeps is None else keeps
        return ExecuteRun(
            assistant=ASSISTANT,
            engine=engine,
            runs=runs,
            active=ActiveRuns(runs, lease_s=LEASE_S),
            history=HistoryRepository(self.db if reads is None else reads),
            files=FileKeeper(files, engine, self.clock, bytes_max=1_000, keep_s=5),
            writer=self.writer,
            redis=self.redis,
            publisher=self.announced,
            clock=self.clock,
            secret="s" * 40,
            lease_s=LEASE_S,
            run_max_s=run_max_s,
            slots=self.slots,
            crash=CrashPoints(),
        )

    async def run(self, run_id: str) -> dict[str, Any]:
        run = await self.db["runs"].find_one({"_id": run_id})
        assert run is not None
        return run

    async def until_active(self, run_id: str, **fields: Any) -> None:
        async with asyncio.timeout(20):
            while not await self.db["runs"].find_one({"_id": run_id, "state": "active", **fields}):
                await asyncio.sleep(0.02)

    async def forsake(self, run_id: str, **fields: Any) -> None:
        """Leave an active run as a worker does that was killed long ago."""
        lease_until = self.clock.now() - timedelta(hours=1)
        await self.db["runs"].update_one({"_id": run_id}, {"$set": {"lease_until": lease_until, **fields}})

    async def stream(self, run_id: str) -> list[RunEvent]:
        """What readers find in Redis, once all is written."""
        await self.writer.settled(timeout_s=30)
        return [from_entry(*entry) for entry in await self.redis.xrange(stream_key(run_id)) or ()]  # pyright: ignore[reportArgumentType]


def charge_of(worker: WorkerOnTrial) -> tuple[str, TokenUsage, str]:
    """Return how the run ended that was announced last, and what it was charged."""
    finished = worker.announced.events[-1]
    assert isinstance(finished, RunFinishedV1)
    return finished.status, finished.usage, finished.usage_source


@asynccontextmanager
async def worker_on_trial(db_url: str, redis_url: str) -> AsyncGenerator[WorkerOnTrial]:
    db = mongo.connect(db_url, service="test")
    # One that answers late on a busy machine is not away.
    redis = redis_client.connect(redis_url, timeout_s=20)
    writer = StreamWriter(redis)
    try:
        await ensure_indexes(db, repository.INDEXES)
        async with background_tasks(writer.run()):
            yield WorkerOnTrial(db=db, db_url=db_url, redis=redis, writer=writer)
    finally:
        await redis.aclose()
        db.client.close()


@contextmanager
def database_away() -> Generator[Database]:
    """A database that does not answer."""
    db = mongo.connect(f"mongodb://127.0.0.1:{free_port()}/none", service="test", timeout_ms=300)
    try:
        yield db
    finally:
        db.client.close()


async def deliver(execute: ExecuteRun, request: RunRequestedV1) -> Outcome:
    delivery = Delivery(message=request, message_id=request.event_id, redelivered=False, attempt=1)
    return await execute(delivery)
