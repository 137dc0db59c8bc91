"""What an operator waits for on a large ledger: the month, a page wherever it lies, all rows as a file.

`BENCH_ROWS` says how large it is, `BENCH_HISTORY_DB_URL` on which server, if not on that of everything else.
"""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import psutil

from bench.figures import Latency
from bench.product import Product
from common.auth import issue_session
from common.clock import SystemClock
from common.mongo import client as mongo
from common.mongo.client import Database
from common.service import collect_rarely
from common.settings import DEVELOPMENT_SECRET
from common.usage_rollup import ROLLUPS, Span, day_start, local_days
from common.usage_sums import UsageSums
from support.history import Plan, write_history
from support.servers import Servers

ROWS_DEFAULT = 100_000
TURNS = 15
PAGE_ROWS = 50
_MONTH = timedelta(days=30)
_BUILD_TIMEOUT_MS = 3_600_000
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """`grew_mib` is what the gateway's memory grew by at its highest."""

    rows: int
    took_s: float
    grew_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardTimes:
    """`bare` reads the rollup documents that `month` is made of, and does nothing with them.

    `middle` is a page in the middle of all rows, `first` the newest rows, `company` those of one company.
    """

    rows: int
    bare: Latency
    month: Latency
    first: Latency
    middle: Latency
    company: Latency
    export: Export

    @property
    def month_ratio(self) -> float:
        return self.month.p50_ms / self.bare.p50_ms

    @property
    def page_ratio(self) -> float:
        return self.middle.p50_ms / self.first.p50_ms


def history_rows() -> int:
    """Say of how many transactions. A million take secantusd half an hour to index."""
    return int(os.environ.get("BENCH_ROWS", ROWS_DEFAULT))


def history_db_url(servers: Servers) -> str:
    return os.environ.get("BENCH_HISTORY_DB_URL", servers.urls["db"])


async def dashboard(db_url: str, product: Product, *, rows: int) -> DashboardTimes:
    """Fill a database with a year of rows, and ask a gateway of its own for them."""
    db = mongo.connect(db_url, service="bench", timeout_ms=_BUILD_TIMEOUT_MS)
    end = day_start(SystemClock().now())
    await write_history(db, Plan(rows=rows, end=end))
    # As the gateway does, or the bare read would be slower than it need be.
    collect_rarely()
    gateway = await product.stack.add("gateway", DB_URL=db_url)
    await gateway.until_ready()
    async with httpx.AsyncClient(base_url=gateway.url, headers=_operator(), timeout=600) as http:
        account = await db["accounts"].find_one({"company.id": {"$gt": ""}}, {"company": 1})
        assert account is not None
        company: str = account["company"]["id"]
        month = {"date_from": (end - _MONTH).isoformat(), "date_to": end.isoformat()}

        async def ask(path: str, **query: str | int) -> None:
            (await http.get(f"/dashboard/{path}", params=query)).raise_for_status()

        return DashboardTimes(
            rows=rows,
            bare=await _timed(lambda: _read_rollups(db, end)),
            month=await _timed(lambda: ask("overall/usage", **month)),
            first=await _timed(lambda: ask("transactions", limit=PAGE_ROWS)),
            middle=await _timed(lambda: ask("transactions", limit=PAGE_ROWS, start=rows // 2)),
            company=await _timed(lambda: ask("transactions", limit=PAGE_ROWS, company=company)),
            export=await _export(http, psutil.Process(gateway.program.pid)),
        )


def _operator() -> dict[str, str]:
    now = SystemClock().now()
    token = issue_session(
        "op", secret=DEVELOPMENT_SECRET, now=now, ttl=timedelta(days=1), claims={"role": "operator"}
    )
    return {"authorization": f"Bearer {token}"}


async def _read_rollups(db: Database, end: datetime) -> None:
    """Read what the month needs, and of the one before it what it is compared with."""
    start = end - _MONTH
    month, before = Span(start, end), Span(start - _MONTH, start)
    days = list(local_days(month, ZoneInfo("UTC")))
    sums = (UsageSums(month, days), UsageSums(before, [(before, before)], details=False))
    for kind, within, fields in (needed for each in sums for needed in each.needed()):
        wanted = {"kind": kind, "at": {"$gte": within.start, "$lt": within.end}}
        shown = dict.fromkeys(("at", "kind", *fields), 1) if fields else None
        found = db[ROLLUPS].find(wanted, shown).batch_size(100)
        while await found.to_list(100):
            pass


async def _timed(ask: Callable[[], Awaitable[None]]) -> Latency:
    await ask()
    seconds: list[float] = []
    for _ in range(TURNS):
        started_s = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - started_s)
    return Latency.of(seconds)


async def _export(http: httpx.AsyncClient, gateway: psutil.Process) -> Export:
    before = highest = gateway.memory_info().rss
    started_s, lines = time.perf_counter(), 0
    async with http.stream("GET", "/dashboard/transactions.csv") as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_bytes():
            lines += piece.count(b"\n")
            highest = max(highest, gateway.memory_info().rss)
    return Export(rows=lines - 1, took_s=time.perf_counter() - started_s, grew_mib=(highest - before) / _MIB)
