"""Joins pipedrive-sync with the queue and runs its loops."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from common.amqp.broker import Broker
from common.amqp.topology import CRM_BALANCES, NOTIFICATIONS
from common.clock import SystemClock
from common.health import Check, mongo_check
from common.log import get_logger
from common.mongo.client import connect
from common.mongo.indexes import ensure_indexes
from common.tasks import background_tasks
from pipedrive_sync.commands.setup import Setup
from pipedrive_sync.loops import every
from pipedrive_sync.parts import Api, Parts, build_client, build_parts, open_http
from pipedrive_sync.pipedrive.client import PipedriveClient, PipedriveRefused
from pipedrive_sync.pipedrive.gate import PipedriveAway
from pipedrive_sync.settings import Settings
from pipedrive_sync.store.cursors import Cursors
from pipedrive_sync.store.indexes import INDEXES

log = get_logger()

SERVICE = "pipedrive-sync"

Loop = Coroutine[Any, Any, None]

_CONFIRM_EVERY_S = 1.0
_NOTE_EVERY_S = 1.0
_CATCH_UP_EVERY_S = 600.0
_RETRY_EVERY_S = 20.0
_PROBE_EVERY_S = 3_600.0
_KNOW_EVERY_S = 86_400.0
_KNOW_RETRY_S = 10.0
_KNOW_RETRY_MAX_S = 600.0
_KNOW_REFUSED_S = 3_600.0


@asynccontextmanager
async def start(settings: Settings) -> AsyncGenerator[Sequence[Check]]:
    """Run pipedrive-sync; yields its readiness checks, drains on exit."""
    clock = SystemClock()
    db = connect(settings.db_url, service=SERVICE)
    await ensure_indexes(db, INDEXES)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(open_http(settings)) if settings.pipedrive_token else None
        broker = await stack.enter_async_context(Broker(settings.amqp_url, service=SERVICE))

        def make_client(cursors: Cursors) -> PipedriveClient:
            assert http is not None
            return build_client(settings, http, cursors, clock)

        parts = build_parts(
            settings, db, clock, ledger=await broker.rpc_client(), make_client=make_client if http else None
        )
        await parts.known.load()
        if parts.api is not None:
            await parts.api.client.gate.load()
        loops = _loops(settings, parts)
        loops_check = await stack.enter_async_context(background_tasks(*loops))
        await broker.consume(CRM_BALANCES, parts.balances, prefetch=100)
        await broker.consume(NOTIFICATIONS, parts.handle, prefetch=settings.pipedrive_notifications_max)

        yield (mongo_check(db), broker.check, loops_check)
        await broker.drain(grace_s=settings.drain_s)
    db.client.close()


def _loops(settings: Settings, parts: Parts) -> list[Loop]:
    loops: list[Loop] = [
        every(_NOTE_EVERY_S, parts.balances.note, name="note_balances"),
        every(_CATCH_UP_EVERY_S, parts.balances.catch_up, name="catch_up_balances"),
        every(_RETRY_EVERY_S, parts.retry.once, name="retry_waiting"),
        every(settings.inbox_sweep_every_s, parts.sweep.once, name="sweep_inbox"),
    ]
    if parts.api is not None:
        loops += _api_loops(settings, parts, parts.api)
    return loops


def _api_loops(settings: Settings, parts: Parts, api: Api) -> list[Loop]:
    async def reconcile() -> None:
        await parts.known.compared.wait()
        await api.reconcile.once(full_every=timedelta(seconds=settings.pipedrive_reconcile_full_every_s))

    async def probe() -> None:
        if api.client.gate.pause is not None:
            await api.client.account(purpose="probe")

    loops: list[Loop] = [
        _know(settings, parts, api),
        every(_CONFIRM_EVERY_S, api.confirm.once, name="confirm_people"),
        every(settings.pipedrive_send_every_s, api.send.once, name="send_usage"),
        every(settings.pipedrive_reconcile_every_s, reconcile, name="reconcile", waker=api.reconcile_waker),
        every(_PROBE_EVERY_S, probe, name="probe"),
    ]
    if api.supervise is not None:
        supervise = api.supervise

        async def supervised() -> None:
            await parts.known.compared.wait()
            await supervise.once()

        loops.append(every(settings.pipedrive_supervise_every_s, supervised, name="supervise_webhook"))
    return loops


async def _know(settings: Settings, parts: Parts, api: Api) -> None:
    """Learn whose token it is and which fields there are; until that is known, nothing is compared."""
    is_set_up = not settings.pipedrive_setup_at_start
    retry_s = _KNOW_RETRY_S
    while True:
        try:
            if not is_set_up:
                setup = Setup(api.client, parts.known, settings.field_names, api.supervise)
                async for line in setup.run():
                    log.info("setup", what=line)
            else:
                await parts.known.refresh(api.client)
        except PipedriveAway as error:
            log.warning("pipedrive_unknown", why=error.detail)
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, _KNOW_RETRY_MAX_S)
            continue
        except PipedriveRefused as error:
            # A person must put this right; asking more often would only spend the day's share.
            log.warning("pipedrive_refused", why=str(error))
            await asyncio.sleep(_KNOW_REFUSED_S)
            continue
        except Exception:
            # The edge: what nobody foresaw must not end the learning for good.
            log.exception("pipedrive_unknown")
            await asyncio.sleep(_KNOW_REFUSED_S)
            continue
        is_set_up, retry_s = True, _KNOW_RETRY_S
        await asyncio.sleep(_KNOW_EVERY_S)
