"""The parts of pipedrive-sync and how they hang together, without the queue and without loops."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from common.clock import Clock
from common.mongo.client import Database
from pipedrive_sync.handlers.handle_notification import HandleNotification
from pipedrive_sync.handlers.note_balances import NoteBalances
from pipedrive_sync.handlers.people_gone import PeopleGone
from pipedrive_sync.handlers.set_quotas import Ledger, SetQuotas
from pipedrive_sync.jobs.confirm_people import ConfirmPeople
from pipedrive_sync.jobs.reconcile import Reconcile
from pipedrive_sync.jobs.retry_waiting import RetryWaiting
from pipedrive_sync.jobs.send_usage import SendUsage
from pipedrive_sync.jobs.supervise import SuperviseWebhook
from pipedrive_sync.jobs.sweep_inbox import SweepInbox
from pipedrive_sync.loops import Waker
from pipedrive_sync.pipedrive.client import PipedriveClient
from pipedrive_sync.pipedrive.gate import Gate, Sleep
from pipedrive_sync.pipedrive.known import Known
from pipedrive_sync.pipedrive.quota_field import QuotaField
from pipedrive_sync.pipedrive.reader import PersonReader
from pipedrive_sync.settings import Settings
from pipedrive_sync.store.cursors import Cursors
from pipedrive_sync.store.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What needs a token for Pipedrive. `supervise` is None when it is not said where we can be reached."""

    client: PipedriveClient
    confirm: ConfirmPeople
    send: SendUsage
    reconcile: Reconcile
    supervise: SuperviseWebhook | None
    reconcile_waker: Waker


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    stores: Stores
    known: Known
    handle: HandleNotification
    balances: NoteBalances
    retry: RetryWaiting
    sweep: SweepInbox
    api: Api | None


def open_http(settings: Settings) -> httpx.AsyncClient:
    """Make the client of Pipedrive's API: no redirects, no proxies, no other host."""
    return httpx.AsyncClient(
        base_url=f"{settings.pipedrive_base_url}/api/",
        headers={"x-api-token": settings.pipedrive_token},
        timeout=settings.pipedrive_timeout_s,
        trust_env=False,
    )


def build_client(
    settings: Settings,
    http: httpx.AsyncClient,
    cursors: Cursors,
    clock: Clock,
    *,
    sleep: Sleep = asyncio.sleep,
) -> PipedriveClient:
    gate = Gate(
        http,
        cursors,
        clock,
        budget=settings.budget,
        burst=settings.pipedrive_burst,
        zone=settings.zone,
        sleep=sleep,
    )
    return PipedriveClient(gate, clock)


def build_parts(
    settings: Settings,
    db: Database,
    clock: Clock,
    *,
    ledger: Ledger,
    make_client: Callable[[Cursors], PipedriveClient] | None,
) -> Parts:
    """Join the parts; `make_client` is None without a token."""
    stores = Stores.on(db, clock, write_every=settings.write_every)
    known = Known(stores.cursors, settings.field_names, can_ask=make_client is not None)
    client = make_client(stores.cursors) if make_client is not None else None
    reader = PersonReader(client, lambda: known.keys) if client is not None else None
    field = QuotaField(client, known, clock) if client is not None else None
    quotas = SetQuotas(stores, ledger=ledger, reader=reader, field=field, clock=clock, policy=settings.policy)
    people_gone = PeopleGone(stores, quotas=quotas, clock=clock, on_deleted=settings.pipedrive_on_deleted)
    handle = HandleNotification(stores, quotas=quotas, people_gone=people_gone, known=known, clock=clock)
    api: Api | None = None
    if client is not None and reader is not None and field is not None:
        waker = Waker()
        wanted = settings.subscription
        api = Api(
            client=client,
            confirm=ConfirmPeople(
                stores, reader=reader, quotas=quotas, people_gone=people_gone, known=known, clock=clock
            ),
            send=SendUsage(stores, client=client, known=known, people_gone=people_gone, clock=clock),
            reconcile=Reconcile(
                stores,
                client=client,
                field=field,
                quotas=quotas,
                reader=reader,
                people_gone=people_gone,
                clock=clock,
                policy=settings.policy,
            ),
            supervise=SuperviseWebhook(client, wanted, reconcile=waker) if wanted else None,
            reconcile_waker=waker,
        )
    return Parts(
        stores=stores,
        known=known,
        handle=handle,
        balances=NoteBalances(stores),
        retry=RetryWaiting(stores, quotas=quotas),
        sweep=SweepInbox(stores, handle=handle, clock=clock),
        api=api,
    )
