"""Work that comes back every so often."""

import asyncio
from collections.abc import Awaitable, Callable

from common.errors import Unavailable
from common.log import get_logger

log = get_logger()


class Waker:
    """Brings the next turn of a loop forward."""

    def __init__(self) -> None:
        self._awake = asyncio.Event()

    def wake(self) -> None:
        self._awake.set()

    async def sleep(self, seconds: float) -> None:
        """Wait until woken, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass
        self._awake.clear()


async def every(
    period_s: float, work: Callable[[], Awaitable[object]], *, name: str, waker: Waker | None = None
) -> None:
    """Do the work again and again until cancelled; a failure is logged and the next turn comes."""
    waker = waker or Waker()
    while True:
        try:
            await work()
        except Unavailable as error:
            log.warning("loop_waits", name=name, code=error.code, why=error.detail)
        except Exception:
            # The edge: one bad turn must not end the loop.
            log.exception("loop_failed", name=name)
        await waker.sleep(period_s)
