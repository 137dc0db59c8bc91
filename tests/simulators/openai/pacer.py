"""One timer for all generations, so that a thousand paced streams cost one wake-up per tick."""

import asyncio
import heapq
from itertools import count
from typing import Protocol

TICK_S = 0.002
"""Generations due within the same tick are advanced together; it is also how late a delta may be."""


class Paced(Protocol):
    def advance(self, now_s: float) -> float | None:
        """Do what is due; return when to be called again (loop time), or None for never."""
        ...


class Pacer:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: list[tuple[float, int, Paced]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None

    def now_s(self) -> float:
        return self._loop.time()

    def start(self, paced: Paced) -> None:
        """Advance it now, and from then on whenever it wants to be."""
        self._advance(paced, self.now_s())
        self._arm()

    def _advance(self, paced: Paced, now_s: float) -> None:
        due_s = paced.advance(now_s)
        if due_s is not None:
            heapq.heappush(self._due, (due_s, next(self._order), paced))

    def _arm(self) -> None:
        if not self._due:
            return
        at_s = max(self._due[0][0], self.now_s() + TICK_S)
        if self._timer is not None:
            if self._timer.when() <= at_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now_s = self.now_s()
        ready: list[Paced] = []
        while self._due and self._due[0][0] <= now_s:
            ready.append(heapq.heappop(self._due)[2])
        for paced in ready:
            self._advance(paced, now_s)
        self._arm()
