"""Joins the parts of the chat worker."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from chat_worker.engine.openai_engine import OpenAIEngine
from chat_worker.files import keeper
from chat_worker.files.keeper import FileKeeper
from chat_worker.recovery import Recovery
from chat_worker.runs import repository
from chat_worker.runs.active import ActiveRuns
from chat_worker.runs.execute import ExecuteRun
from chat_worker.runs.history import HistoryRepository
from chat_worker.runs.repository import RunRepository
from chat_worker.settings import Settings
from chat_worker.stream.writer import StreamWriter
from common import redis_client
from common.amqp import topology
from common.amqp.broker import Broker
from common.amqp.delivery import Delivery, Done, Outcome
from common.assistants import load_assistant
from common.clock import SystemClock
from common.crash_points import CrashPoints
from common.events.runs import RunCancelRequestedV1
from common.health import Check, mongo_check
from common.ids import new_id
from common.mongo import client as mongo
from common.mongo.clock import DatabaseClock
from common.mongo.indexes import ensure_indexes
from common.tasks import background_tasks
from common.tokens import count_tokens

SERVICE = "chat-worker"


@asynccontextmanager
async def start(settings: Settings) -> AsyncGenerator[Sequence[Check]]:
    """Start consuming; yields the readiness checks, drains on exit."""
    assistant = load_assistant(settings.assistants_dir, settings.oai_assistant)
    # Loads the tokenizer, which the first run would otherwise wait for.
    count_tokens(assistant.instructions)
    db = mongo.connect(settings.db_url, service=SERVICE)
    await ensure_indexes(db, (*repository.INDEXES, *keeper.INDEXES))
    clock = DatabaseClock(db, SystemClock())
    await clock.refresh()
    redis = redis_client.connect(settings.redis_url)
    runs = RunRepository(db, clock, owner=new_id("a"), lease_s=settings.lease_s)
    active = ActiveRuns(runs, lease_s=settings.lease_s)
    writer = StreamWriter(redis)
    engine = OpenAIEngine.connect(
        api_key=settings.oai_token,
        base_url=settings.oai_base_url,
        idle_s=settings.provider_idle_s,
        connections_max=settings.runs_max + 10,
    )
    async with Broker(settings.amqp_url, service=SERVICE) as broker:
        execute = ExecuteRun(
            assistant=assistant,
            engine=engine,
            runs=runs,
            active=active,
            history=HistoryRepository(db),
            files=FileKeeper(db, engine, clock, bytes_max=settings.file_bytes_max),
            writer=writer,
            redis=redis,
            publisher=broker.publisher,
            clock=clock,
            secret=settings.shared_secret,
            lease_s=settings.lease_s,
            run_max_s=settings.run_max_s,
            slots=asyncio.Semaphore(settings.runs_max),
            crash=CrashPoints(settings.crash_at),
        )

        recovery = Recovery(runs, execute, every_s=settings.recovery_every_s)

        async def cancel(delivery: Delivery) -> Outcome:
            assert isinstance(delivery.message, RunCancelRequestedV1)
            active.cancel(delivery.message.run_id)
            return Done()

        async with background_tasks(
            writer.run(), active.keep_leases(), recovery.run(), clock.run()
        ) as tasks_check:
            await broker.consume(topology.RUN_CANCELS, cancel, prefetch=100)
            await broker.consume(topology.RUNS, execute, prefetch=settings.runs_max)
            yield (mongo_check(db), broker.check, tasks_check)
            await asyncio.gather(
                broker.drain(grace_s=settings.drain_s), recovery.drain(grace_s=settings.drain_s)
            )
            await writer.settled(timeout_s=2)
    await engine.close()
    await redis.aclose()
    db.client.close()
