"""How long a quota that is changed in the CRM takes to reach the balance on an open page."""

import asyncio
import time
from collections.abc import AsyncGenerator

import httpx
import orjson

from bench.figures import Latency
from bench.product import Product
from common.ids import new_id
from support.pipedrive import QUOTA, add_sync, simulated_pipedrive

TURNS = 20
_TOLD_WITHIN_S = 60.0


async def quotas(product: Product) -> Latency:
    """Change one person's quota again and again, while the user's page is open."""
    stack = product.stack
    async with simulated_pipedrive() as pipedrive:
        sync = await add_sync(stack, pipedrive)
        user_id = new_id("q")
        user = stack.client(user_id, email=f"{user_id}@example.com")
        balance = (await user.open())["user"]["token_balance"]
        person = await pipedrive.person("Ann Lee", email=f"{user_id}@example.com")
        took_s: list[float] = []
        async with user.http.stream("GET", "/chat/account/events") as page:
            told = _balances(page)
            for turn in range(TURNS):
                started_s = time.perf_counter()
                await pipedrive.edit([person], QUOTA, balance + 1 + turn)
                async with asyncio.timeout(_TOLD_WITHIN_S):
                    while await anext(told) != balance + 1 + turn:
                        pass
                took_s.append(time.perf_counter() - started_s)
        await sync.program.close()
    return Latency.of(took_s)


async def _balances(page: httpx.Response) -> AsyncGenerator[int]:
    async for line in page.aiter_lines():
        if line.startswith("data: "):
            yield orjson.loads(line.removeprefix("data: "))["token_balance"]
