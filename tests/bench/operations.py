"""How many operations MongoDB sees of a run: they must not depend on how many chunks it streams."""

import asyncio
from dataclasses import dataclass

from bench.product import Product

CHUNKS = (20, 2_000)
RUN_S = 10.0
"""Both runs take as long, so that polls and renewals of the lease are the same."""

TURNS = 2
_SETTLED_AFTER_S = 3.0
_COUNTED = ("insert", "query", "update", "delete", "getmore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Of the whole server in the same length of time; `idle` is what is asked when nothing happens."""

    idle: int
    by_chunks: dict[int, int]


async def operations(product: Product) -> Operations:
    """Count in turns and take the least: what else happens by chance only adds."""
    found: dict[int, list[int]] = {chunks: [] for chunks in (0, *CHUNKS)}
    for _ in range(TURNS):
        for chunks, counts in found.items():
            counts.append(await _counted(product, chunks=chunks))
    return Operations(idle=min(found[0]), by_chunks={chunks: min(found[chunks]) for chunks in CHUNKS})


async def _counted(product: Product, *, chunks: int) -> int:
    """Count from just before a run until it is settled, or as long without one."""
    await product.simulate(reply_tokens=chunks, tokens_per_s=max(chunks, 1) / RUN_S)
    loop = asyncio.get_running_loop()
    async with product.readers(1, direct=False) as readers:
        before, started_s = await _total(product), loop.time()
        if chunks:
            await readers.read(0)
        await asyncio.sleep(started_s + RUN_S + _SETTLED_AFTER_S - loop.time())
        return await _total(product) - before


async def _total(product: Product) -> int:
    status = await product.stack.db.client.admin.command("serverStatus")
    return sum(status["opcounters"][name] for name in _COUNTED)
