"""The dashboard on a real database, with a real ledger behind it and no queue in between."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from common.clock import Clock
from common.events.envelope import Command
from common.mongo.indexes import ensure_indexes
from gateway.context import Services
from gateway.indexes import INDEXES
from support.gateway_app import bearer, close_services, gateway_client, gateway_services, session_of
from support.ledger import LedgerOnTrial, ledger_on

R = TypeVar("R", bound=BaseModel)

FIGURES = ("total_tokens", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "runs")
BREAKDOWNS = ("by_day", "by_month", "by_company", "by_user", "by_model")


class LedgerAtHand:
    """Carries commands out at once, in this process."""

    def __init__(self, trial: LedgerOnTrial) -> None:
        self._commands = trial.ledger.commands

    async def call(self, command: Command, reply: type[R], *, deadline_s: float = 5.0) -> R:
        answer = await self._commands[type(command)](command)
        return reply.model_validate(answer.model_dump())


@dataclass(kw_only=True)
class DashboardOnTrial:
    """An operator's client, and the ledger whose figures it shows."""

    client: httpx.AsyncClient
    services: Services
    trial: LedgerOnTrial

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def usage(self, date_from: str, date_to: str, tz: str = "UTC") -> dict[str, Any]:
        """Ask for the report; whatever it says, it sums up."""
        report = await self.get("/dashboard/overall/usage", date_from=date_from, date_to=date_to, tz=tz)
        assert_sums_up(report)
        return report

    async def all_rows(self, *, limit: int = 200, **query: Any) -> list[dict[str, Any]]:
        """Follow the cursors from the first page to the last."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            after = {"cursor": cursor} if cursor else {}
            page = await self.get("/dashboard/transactions", limit=limit, **query, **after)
            rows += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return rows


def assert_sums_up(report: Mapping[str, Any]) -> None:
    totals = {name: report["totals"][name] for name in FIGURES}
    for breakdown in BREAKDOWNS:
        assert {name: sum(row[name] for row in report[breakdown]) for name in FIGURES} == totals, breakdown


@asynccontextmanager
async def dashboard_on(db_url: str, *, clock: Clock | None = None) -> AsyncGenerator[DashboardOnTrial]:
    async with ledger_on(db_url, clock=clock) as trial:
        services = replace(gateway_services(db_url=db_url, clock=trial.clock), ledger=LedgerAtHand(trial))
        try:
            await ensure_indexes(services.db, INDEXES)
            async with gateway_client(services) as client:
                client.headers.update(bearer(session_of(services, "op", role="operator", ttl_s=10**9)))
                yield DashboardOnTrial(client=client, services=services, trial=trial)
        finally:
            await close_services(services)
