"""The export of days with more rows than are read in one stretch, and what it takes to read them."""

import asyncio
import csv
import gc
import io
import tracemalloc
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from common.clock import rfc3339
from common.mongo.client import Document
from common.usage_rollup import DAY
from gateway.app import create_app
from gateway.context import Services
from support.gateway_app import bearer, close_services, gateway_client, gateway_services, session_of
from support.history import END, Plan, write_history

PLAN = Plan(rows=14_000, days=2, users=60, companies=3, end=END)
"""More than 5,000 rows a day: these days are read by their quarters."""

PIECE_BYTES_MAX = 1 << 18


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


async def peak_bytes(services: Services, query: Mapping[str, str]) -> tuple[int, int]:
    """Export rows and keep none; return how many there were, and the most memory that it took.

    Not by httpx, which keeps all that an application in the same process sends.
    """
    app, lines = create_app(services), 0
    token = bearer(session_of(services, "op", role="operator"))["Authorization"]

    async def receive() -> Document:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal lines
        piece: bytes = message.get("body", b"")
        assert message.get("status", 200) == 200
        assert len(piece) <= PIECE_BYTES_MAX
        lines += piece.count(b"\r\n")

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/dashboard/transactions.csv",
        "query_string": urlencode(query).encode(),
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", token.encode())],
    }
    gc.collect()
    tracemalloc.start()
    try:
        await app(scope, receive, send)
        return lines - 1, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_the_memory_of_an_export_does_not_grow_with_its_rows(exports: Exports):
    start = END - 2 * DAY
    # What is made once, such as the application's own tables, is not the export's.
    await peak_bytes(exports.services, {})
    six_hours = {"date_from": rfc3339(start), "date_to": rfc3339(start + timedelta(hours=6))}
    few, of_few = await peak_bytes(exports.services, six_hours)
    many, of_many = await peak_bytes(exports.services, {})
    assert many > 7 * few > 7_000
    assert of_many < 2 * of_few
