"""Work that comes back every so often."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from common.errors import Unavailable
from common.log import get_logger

log = get_logger()


async def every(period_s: float, work: Callable[[], Awaitable[object]], *, name: str) -> None:
    """Do the work again and again until cancelled; a failure is logged and the next turn comes.

    Replicas start at different times within the first period, so that they do not get in each other's way.
    """
    await asyncio.sleep(random.uniform(0, period_s))  # noqa: S311 - spreads the replicas
    while True:
        try:
            await work()
        except Unavailable as error:
            log.warning("loop_waits", name=name, code=error.code)
        except Exception:
            # The edge: one bad turn must not end the loop.
            log.exception("loop_failed", name=name)
        await asyncio.sleep(period_s)
