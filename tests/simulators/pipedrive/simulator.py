"""Joins the parts of the simulator."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import httpx

from common.clock import Clock
from simulators.pipedrive.company import Company
from simulators.pipedrive.deliveries import Deliveries, Webhook
from simulators.pipedrive.faults import Faults
from simulators.pipedrive.limits import Limits
from simulators.pipedrive.records import Actor, Change, Entity, Field, Record

TOKEN = "pipedrive-simulator-token"
OTHER_TOKEN = "another-integration-of-the-same-company"
BURST_LITE = 20
DAILY_TOKENS_LITE = 30_000

_DELIVER_EVERY_S = 0.05


class Simulator:
    """One company with an administrator (our token), a second integration, and a person who edits by hand."""

    def __init__(
        self,
        clock: Clock,
        *,
        burst: int = BURST_LITE,
        daily_tokens: int = DAILY_TOKENS_LITE,
        daily_headers: bool = True,
        zone: tzinfo = UTC,
        timeout_s: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
        seed: int = 1,
    ) -> None:
        """`transport` carries webhooks; without one they go over the network, to addresses that answer."""
        self.clock = clock
        self.company = Company(clock)
        self.admin = self.company.add_user("Integration Admin", token=TOKEN)
        self.other_tool = self.company.add_user("Other Tool", token=OTHER_TOKEN)
        self.by_hand = Actor(self.company.add_user("Sales Person", token="").id, "app")
        self.by_other_tool = Actor(self.other_tool.id, "api")
        self.faults = Faults(seed=seed)
        self.limits = Limits(
            clock, burst=burst, daily_tokens=daily_tokens, daily_headers=daily_headers, zone=zone
        )
        self.checks_reach = transport is None
        self.deliveries = Deliveries(
            self.company, clock, self.faults, timeout_s=timeout_s, transport=transport
        )
        self.changes: list[Change] = []
        self.company.on_change = self._changed

    def _changed(self, change: Change) -> None:
        self.changes.append(change)
        self.deliveries.enqueue(change)

    def edit(self, person_ids: Sequence[int], field_name: str, value: Any, *, is_bulk: bool = False) -> None:
        """Set a field by hand, as a person in the CRM does."""
        code = self.company.field_named(field_name).code
        self.company.set_field(person_ids, code, value, by=self.by_hand, is_bulk=is_bulk)

    async def deliver_all(self, skip: Any, *, within: timedelta) -> None:
        """Deliver what is due, skipping from one due time to the next, for so long of virtual time."""
        until = self.clock.now() + within
        while True:
            await self.deliveries.deliver_due()
            next_due_at = self.deliveries.next_due_at
            if next_due_at is None or next_due_at > until:
                break
            skip(max(0.0, (next_due_at - self.clock.now()).total_seconds()))
        skip(max(0.0, (until - self.clock.now()).total_seconds()))

    async def deliver_as_time_passes(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self.deliveries.deliver_due()
            await asyncio.sleep(_DELIVER_EVERY_S)

    def save(self, path: Path) -> None:
        """Keep the company's data, so that a restart finds it again."""
        state = {
            "fields": [asdict(found) for found in self.company.fields.values()],
            "records": [asdict(r) for of_kind in self.company.records.values() for r in of_kind.values()],
            "webhooks": [_written(asdict(webhook)) for webhook in self.deliveries.webhooks.values()],
        }
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(state), encoding="utf-8")
        draft.replace(path)

    def load(self, path: Path) -> bool:
        """Take up what was kept; return whether there was anything."""
        if not path.exists():
            return False
        state = json.loads(path.read_text(encoding="utf-8"))
        for values in state["fields"]:
            self.company.fields[values["code"]] = Field(**values)
        for values in state["records"]:
            entity: Entity = values["entity"]
            self.company.restore(entity, Record(**values))
        for values in state["webhooks"]:
            self.deliveries.restore(Webhook(**_read(values)))
        return True

    async def close(self) -> None:
        await self.deliveries.close()


def _written(values: dict[str, Any]) -> dict[str, Any]:
    return {name: v.isoformat() if isinstance(v, datetime) else v for name, v in values.items()}


def _read(values: dict[str, Any]) -> dict[str, Any]:
    is_time = {"added_at", "banned_until", "succeeded_at", "delivered_at", "removed_at"}
    return {name: datetime.fromisoformat(v) if v and name in is_time else v for name, v in values.items()}
