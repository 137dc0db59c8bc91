"""What the routes work with, joined once by `bootstrap.py`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from redis.asyncio import Redis

from common.clock import Clock
from common.health import Check
from common.mongo.client import Database
from gateway.asking.ask import Ask
from gateway.balances.listeners import BalanceListeners
from gateway.dashboard.dashboard import Dashboard
from gateway.integration.inbox import Inbox
from gateway.ledger import Ledger
from gateway.limits.limits import Limits
from gateway.settings import Settings
from gateway.streaming.cancel import CancelRun
from gateway.streaming.hub import RunHub
from gateway.streaming.stored_runs import StoredRuns
from gateway.threads.repository import ThreadRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of the gateway. `stopping` is set when the process was told to end."""

    settings: Settings
    clock: Clock
    db: Database
    redis: Redis
    ledger: Ledger
    threads: ThreadRepository
    limits: Limits
    stored_runs: StoredRuns
    hub: RunHub
    balances: BalanceListeners
    ask: Ask
    cancel: CancelRun
    inbox: Inbox
    dashboard: Dashboard
    checks: Sequence[Check]
    stopping: asyncio.Event


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _services(request: Request) -> Services:
    return services_of(request)


GatewayServices = Annotated[Services, Depends(_services)]
