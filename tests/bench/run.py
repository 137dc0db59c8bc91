"""`make bench`: measure the product on this machine, print a table, keep it in `bench-results`.

Servers are chosen as for the tests: `TEST_DB_URL` and the like, containers, or private ones. What else the
machine does is in every figure, so the ratios within one run are what counts.
"""

import os
import sys
import time
from pathlib import Path

import httpx
import uvloop

from bench import ledger, streams
from bench.dashboard import dashboard, history_db_url, history_rows
from bench.machine import machine
from bench.operations import operations
from bench.product import running_product
from bench.quotas import quotas
from bench.report import report
from bench.results import Results
from support.fresh import fresh_database, fresh_database_on, fresh_redis, fresh_vhost
from support.servers import KINDS, Servers, servers_for_tests

LATEST = Path("bench-results/latest.json")


async def measure(servers: Servers, management: httpx.AsyncClient) -> Results:
    started_s, load_before = time.perf_counter(), os.getloadavg()[0]
    async with (
        fresh_database(servers) as db_url,
        fresh_database(servers) as holds_url,
        fresh_database(servers) as settlements_url,
        fresh_database_on(history_db_url(servers)) as history_url,
        fresh_vhost(servers, management) as amqp_url,
    ):
        urls = {"db": db_url, "amqp": amqp_url, "redis": await fresh_redis(servers)}
        async with running_product(urls) as product:
            _say("warming up")
            await streams.warm_up(product)
            _say("first tokens")
            first_tokens = await streams.first_tokens(product)
            burst = await streams.burst(product)
            _say("CPU")
            cpu = await streams.token_cpu(product)
            _say("operations")
            counted = await operations(product)
            _say("holds")
            holds = await ledger.holds(holds_url, product)
            _say("quotas")
            told = await quotas(product)
            _say(f"dashboard, after filling a ledger with {history_rows():,} rows")
            shown = await dashboard(history_url, product, rows=history_rows())
        _say("settlements")
        settled = await ledger.settlements(settlements_url)
        return Results(
            machine=await machine(urls, management),
            loads=(load_before, os.getloadavg()[0]),
            took_s=time.perf_counter() - started_s,
            first_tokens=first_tokens,
            burst=burst,
            cpu=cpu,
            holds=holds,
            settled=settled,
            operations=counted,
            quotas=told,
            dashboard=shown,
        )


async def main() -> None:
    async with (
        servers_for_tests(set(KINDS)) as servers,
        httpx.AsyncClient(base_url=servers.management_url, trust_env=False, timeout=30) as management,
    ):
        results = await measure(servers, management)
    results.save(LATEST)
    print(report(results))


def _say(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    uvloop.run(main())
