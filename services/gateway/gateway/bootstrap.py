"""Joins the parts of the gateway: the one place that knows all of them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from common import redis_client
from common.amqp.broker import Broker
from common.amqp.topology import BALANCES
from common.assistants import load_assistant
from common.clock import Clock, SystemClock
from common.crash_points import CrashPoints
from common.health import mongo_check
from common.mongo import client as mongo
from common.mongo.indexes import ensure_indexes
from common.tasks import background_tasks
from gateway.asking.ask import Ask
from gateway.balances.listeners import BalanceListeners
from gateway.context import Services
from gateway.dashboard.dashboard import make_dashboard
from gateway.dashboard.management import open_management
from gateway.indexes import INDEXES
from gateway.integration.inbox import Inbox
from gateway.integration.relay import InboxRelay
from gateway.limits.limits import Limits
from gateway.settings import Settings
from gateway.streaming.cancel import CancelRun
from gateway.streaming.hub import RunHub
from gateway.streaming.stored_runs import StoredRuns
from gateway.threads.repository import ThreadRepository

SERVICE = "gateway"
_BALANCES_PREFETCH = 100


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncGenerator[Services]:
    """Connect everything, yield what the routes need, and close it in reverse."""
    clock = SystemClock()
    db = mongo.connect(settings.db_url, service=SERVICE)
    redis = redis_client.connect(settings.redis_url)
    assistant = load_assistant(settings.assistants_dir, settings.oai_assistant)
    threads, stored_runs = ThreadRepository(db), StoredRuns(db)
    stopping = asyncio.Event()
    limits = _limits(settings, redis, clock)
    await ensure_indexes(db, INDEXES)
    inbox = Inbox(db)
    hub = RunHub(redis, stored_runs, clock, stopping=stopping)
    balances = BalanceListeners(stopping=stopping)
    async with (
        open_management(settings.amqp_management_url, amqp_url=settings.amqp_url, clock=clock) as management,
        Broker(settings.amqp_url, service=SERVICE) as broker,
        background_tasks(
            limits.run(), hub.run(), balances.run(), InboxRelay(inbox, broker.publisher).run()
        ) as loops_check,
    ):
        ledger = await broker.rpc_client()
        await broker.consume(BALANCES, balances, prefetch=_BALANCES_PREFETCH)
        ask = Ask(
            threads=threads,
            stored=stored_runs,
            hub=hub,
            ledger=ledger,
            publisher=broker.publisher,
            limits=limits,
            assistant=assistant,
            clock=clock,
            runs_per_user=settings.runs_per_user,
            message_bytes_max=settings.message_bytes_max,
            crash=CrashPoints(settings.crash_at),
        )
        cancel = CancelRun(
            threads=threads, stored=stored_runs, hub=hub, publisher=broker.publisher, clock=clock
        )
        yield Services(
            settings=settings,
            clock=clock,
            db=db,
            redis=redis,
            ledger=ledger,
            threads=threads,
            limits=limits,
            stored_runs=stored_runs,
            hub=hub,
            balances=balances,
            ask=ask,
            cancel=cancel,
            inbox=inbox,
            dashboard=make_dashboard(db, ask, cancel, letters=broker.dead_letters(), management=management),
            checks=(mongo_check(db), broker.check, loops_check),
            stopping=stopping,
        )
        await ask.drain()
    await redis.aclose()
    db.client.close()


def _limits(settings: Settings, redis: Redis, clock: Clock) -> Limits:
    return Limits(
        redis,
        clock,
        messages_per_minute=settings.messages_per_minute,
        streams_per_user=settings.streams_per_user,
    )
