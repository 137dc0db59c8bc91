"""Tasks that run for as long as a service does."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from common.health import Check
from common.log import get_logger

log = get_logger()

_CANCEL_AGAIN_S = 0.5


@asynccontextmanager
async def background_tasks(*loops: Coroutine[Any, Any, None]) -> AsyncGenerator[Check]:
    """Run endless loops beside the body; yields a check that names the ones that have ended.

    A loop never ends by itself: one that did has a bug, is logged, and makes the service unready.
    """
    tasks = [asyncio.create_task(loop, name=loop.__qualname__) for loop in loops]
    for task in tasks:
        task.add_done_callback(_report)

    async def check() -> Sequence[str]:
        return [f"{task.get_name()} has ended" for task in tasks if task.done()]

    try:
        yield check
    finally:
        await cancel_all(tasks)


async def cancel_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended.

    More than once: before Python 3.12 `asyncio.wait_for`, which libraries use, may lose a cancellation.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)


def is_told_to_stop() -> bool:
    """Tell, within `except CancelledError`, whether this task was cancelled, or a library's future was.

    A half-open connection to RabbitMQ ends in a CancelledError that nobody asked for.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("background_task_failed", task=task.get_name(), exc_info=error)
