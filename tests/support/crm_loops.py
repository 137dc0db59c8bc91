"""The loops of pipedrive-sync, just as the service starts them, by the clock that the test moves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from math import ceil
from types import SimpleNamespace
from typing import Literal
from unittest.mock import patch

from pipedrive_sync import bootstrap
from pipedrive_sync.loops import Waker
from pipedrive_sync.pipedrive import reader
from support.crm import CrmOnTrial

Task = asyncio.Task[None]


@dataclass(order=True, slots=True)
class _Sleeper:
    due_s: float
    number: int
    task: Task = field(compare=False)
    until: asyncio.Future[None] = field(compare=False)
    waker: Waker | None = field(compare=False)

    def is_due(self, now_s: float) -> bool:
        return self.due_s <= now_s or (self.waker is not None and self.waker._awake.is_set())


class CrmLoops:
    """Time stands still while a loop works; it moves when all of them sleep, or wait to be told the fields.

    `neighbours` are called each time before webhooks are delivered: who else works in the CRM.
    """

    def __init__(self, crm: CrmOnTrial) -> None:
        self.neighbours: list[Callable[[], None]] = []
        self._crm = crm
        self._tasks: list[Task] = []
        self._asleep: dict[Task, _Sleeper] = {}
        self._blocked: set[Task] = set()
        self._stirred = asyncio.Event()
        self._numbers = count()

    async def start(self) -> None:
        """Start a process: as `bootstrap.start`, without the queue."""
        parts = self._crm.parts
        wait = parts.known.compared.wait

        async def wait_for_fields() -> Literal[True]:
            with self._waiting_for_fields():
                return await wait()

        parts.known.compared.wait = wait_for_fields
        await parts.known.load()
        await self._crm.api.client.gate.load()
        self._tasks = [asyncio.create_task(loop) for loop in bootstrap._loops(self._crm.settings, parts)]
        for task in self._tasks:
            task.add_done_callback(lambda _: self._stirred.set())
        await self._until_still()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._asleep.clear()
        self._blocked.clear()

    async def restart(self) -> None:
        """End the process and start another one on the same database."""
        await self.stop()
        self._crm.parts = self._crm.make_parts()
        await self.start()

    async def pass_time(self, seconds: float, *, step_s: float) -> None:
        """Let time pass; what is due comes to pass at the next multiple of `step_s`."""
        clock = self._crm.clock
        end_s = clock.monotonic_s() + seconds
        await self._happen()
        while (now_s := clock.monotonic_s()) < end_s:
            next_s = min((sleeper.due_s for sleeper in self._asleep.values()), default=end_s)
            webhook_at = self._crm.simulator.deliveries.next_due_at
            if webhook_at is not None:
                next_s = min(next_s, now_s + (webhook_at - clock.now()).total_seconds())
            on_grid_s = ceil(max(next_s, now_s + step_s / 2) / step_s) * step_s
            clock.pass_s(min(end_s, on_grid_s) - now_s)
            await self._happen()
            await self._wake_the_due()
            await self._happen()

    async def sleep(self, seconds: float, waker: Waker | None = None) -> None:
        """Stands in for the sleep of a loop."""
        task = _this_task()
        until = asyncio.get_running_loop().create_future()
        due_s = self._crm.clock.monotonic_s() + seconds
        self._asleep[task] = _Sleeper(due_s, next(self._numbers), task, until, waker)
        self._stirred.set()
        try:
            await until
        finally:
            self._asleep.pop(task, None)
            if waker is not None:
                waker._awake.clear()

    async def _happen(self) -> None:
        """Let everything come about that needs no loop: webhooks, the gateway's relay, both queues."""
        moved = 1
        while moved:
            for neighbour in self.neighbours:
                neighbour()
            moved = await self._crm.simulator.deliveries.deliver_due()
            if moved:
                await self._crm.empty_queue()
        await self._crm.bring_balances()

    async def _wake_the_due(self) -> None:
        """Let one loop after the other have its turn, those that a turn wakes too."""
        while due := sorted(s for s in self._asleep.values() if s.is_due(self._crm.clock.monotonic_s())):
            first = due[0]
            del self._asleep[first.task]
            first.until.set_result(None)
            await self._until_still()

    async def _until_still(self) -> None:
        while True:
            self._stirred.clear()
            for task in self._tasks:
                if task.done():
                    task.result()
            if all(self._is_still(task) for task in self._tasks):
                return
            await self._stirred.wait()

    def _is_still(self, task: Task) -> bool:
        is_blocked = task in self._blocked and not self._crm.parts.known.compared.is_set()
        return task.done() or task in self._asleep or is_blocked

    @contextmanager
    def _waiting_for_fields(self) -> Generator[None]:
        task = _this_task()
        self._blocked.add(task)
        self._stirred.set()
        try:
            yield
        finally:
            self._blocked.discard(task)


def _this_task() -> Task:
    task = asyncio.current_task()
    assert task is not None
    return task


@asynccontextmanager
async def crm_loops(crm: CrmOnTrial) -> AsyncGenerator[CrmLoops]:
    """Run the loops until the end of the block."""
    loops = CrmLoops(crm)

    async def sleep_until_woken(waker: Waker, seconds: float) -> None:
        await loops.sleep(seconds, waker)

    with (
        patch.object(Waker, "sleep", sleep_until_woken),
        patch.object(reader, "_GATHER_S", 0.0),
        patch.object(bootstrap, "asyncio", SimpleNamespace(sleep=loops.sleep)),
    ):
        await loops.start()
        try:
            yield loops
        finally:
            await loops.stop()
