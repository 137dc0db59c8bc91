"""`PYTHONPATH=tests .venv/bin/python -m bench.audit [ROWS]`: how long the audit takes over a year of rows.

Fills a database of its own (`TEST_DB_URL`, or a private server), which takes longer than the audit.
The CPU is this process's; the rest of the time is the database's.
"""

import sys
import time
from datetime import timedelta

import uvloop

from common.clock import SystemClock
from common.mongo.client import connect
from common.service import collect_rarely
from support.fresh import fresh_database
from support.history import Plan, write_history
from support.servers import servers_for_tests
from usage_ledger.audit.audit import Audit

_ROWS = 1_000_000
_TAIL_DAYS = 1
_TIMEOUT_MS = 1_800_000


async def measure(db_url: str, plan: Plan, *, days: int | None) -> str:
    """Audit all, or the last days; return a line that says how long it took."""
    db = connect(db_url, service="bench", timeout_ms=_TIMEOUT_MS)
    since = plan.end - timedelta(days=days) if days else None
    audit = Audit(db, SystemClock(), hold_ttl=timedelta(minutes=15), since=since)
    started_s, cpu_s = time.perf_counter(), time.process_time()
    found = [violation async for violation in audit.run()]
    took_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    db.client.close()
    counts = audit.counts
    looked_at = f"{counts.rows} rows, {counts.runs} runs, {counts.accounts} accounts"
    name = f"last {days} days" if days else "all"
    return f"{name}: {took_s:.1f} s, {cpu_s:.1f} s of CPU here, {looked_at}, {len(found)} violations"


async def main() -> None:
    collect_rarely()
    plan = Plan(rows=int(sys.argv[1]) if len(sys.argv) > 1 else _ROWS)
    async with servers_for_tests({"db"}) as servers, fresh_database(servers) as db_url:
        filling = connect(db_url, service="bench", timeout_ms=_TIMEOUT_MS)
        await write_history(filling, plan, with_runs=True)
        filling.client.close()
        for days in (None, _TAIL_DAYS):
            print(await measure(db_url, plan, days=days), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
