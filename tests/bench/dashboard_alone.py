"""What `make bench` measures of the dashboard, alone.

`PYTHONPATH=tests .venv/bin/python -m bench.dashboard_alone`
"""

import httpx
import uvloop

from bench.dashboard import dashboard, history_db_url, history_rows
from bench.product import running_product
from bench.report import dashboard_table
from support.fresh import fresh_database_on, fresh_places
from support.servers import KINDS, servers_for_tests


async def main() -> None:
    async with (
        servers_for_tests(set(KINDS)) as servers,
        httpx.AsyncClient(base_url=servers.management_url, trust_env=False, timeout=30) as management,
        fresh_places(servers, management) as places,
        fresh_database_on(history_db_url(servers)) as history_url,
        running_product(
            {"db": places["db_url"], "amqp": places["amqp_url"], "redis": places["redis_url"]}
        ) as product,
    ):
        shown = await dashboard(history_url, product, rows=history_rows())
    print("\n".join(dashboard_table(shown)))


if __name__ == "__main__":
    uvloop.run(main())
