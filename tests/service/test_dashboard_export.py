"""The export of days with more rows than are read in one stretch, and what it takes to read them."""

import csv
import gc
import io
import tracemalloc
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest

from common.usage_rollup import DAY, Span
from gateway.context import Services
from gateway.dashboard.row_filter import RowFilter
from support.gateway_app import bearer, close_services, gateway_client, gateway_services, session_of
from support.history import END, Plan, write_history

PLAN = Plan(rows=14_000, days=2, users=60, companies=3, end=END)
"""More than 5,000 rows a day: these days are read by their quarters."""

BATCH_MAX = 500


@dataclass(frozen=True)
class Exports:
    client: httpx.AsyncClient
    services: Services


@pytest.fixture(scope="module")
async def exports(module_db_url: str) -> AsyncGenerator[Exports]:
    services = gateway_services(db_url=module_db_url)
    await write_history(services.db, PLAN)
    async with gateway_client(services) as client:
        client.headers.update(bearer(session_of(services, "op", role="operator")))
        yield Exports(client, services)
    await close_services(services)


@pytest.mark.parametrize("query", [{}, {"kind": "usage"}, {"company": "c1"}])
async def test_full_days_are_exported_whole_and_in_order(exports: Exports, query: dict[str, str]):
    answer = await exports.client.get("/dashboard/transactions.csv", params=query)
    exported = [row["id"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))]
    named = {"company.id" if name == "company" else name: value for name, value in query.items()}
    rows = await exports.services.db["transactions"].find(named, {"at": 1}).to_list(None)
    rows.sort(key=lambda row: (row["at"], row["_id"]), reverse=True)
    assert len(rows) > 1_000
    assert exported == [row["_id"] for row in rows]


async def peak_bytes(services: Services, wanted: RowFilter) -> tuple[int, int]:
    """Read all rows and keep none; return how many there were, and the most memory that it took."""
    found = 0
    gc.collect()
    tracemalloc.start()
    try:
        async for rows in services.dashboard.transactions.all_rows(wanted):
            assert len(rows) <= BATCH_MAX
            found += len(rows)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_the_memory_of_an_export_does_not_grow_with_its_rows(exports: Exports):
    start = END - 2 * DAY
    few, of_few = await peak_bytes(exports.services, RowFilter(span=Span(start, start + timedelta(hours=6))))
    many, of_many = await peak_bytes(exports.services, RowFilter())
    assert many > 7 * few > 7_000
    assert of_many < 2 * of_few
