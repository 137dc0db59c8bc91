"""How a service without HTTP of its own runs: start, serve health, wait for a signal, stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, TypeVar

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from common import log
from common.health import Check, health_router
from common.settings import CommonSettings

Start = Callable[[], AbstractAsyncContextManager[Sequence[Check]]]
"""Enters when the service works and yields its readiness checks; its exit drains."""

EXIT_BAD_SETTINGS = 78

_OBJECTS_UNTIL_COLLECTED = 50_000

S = TypeVar("S", bound=BaseSettings)


def serve(name: str, settings: CommonSettings, start: Start) -> None:
    """Run until SIGTERM or SIGINT, then drain and return. A second signal ends at once."""
    log.configure(name, level=settings.log_level)
    uvloop.run(_serve(name, settings, start))


async def _serve(name: str, settings: CommonSettings, start: Start) -> None:
    logger = log.get_logger()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    async with start() as checks, _health_server(settings, checks):
        collect_rarely()
        logger.info("started", name=name)
        await stopping.wait()
        logger.info("stopping", name=name)
    logger.info("stopped", name=name)


def collect_rarely() -> None:
    """Have cyclic garbage looked for once in 50,000 new objects, and not among what a program starts with.

    Python's own 700 has it looked for again and again while an answer of the database is decoded, which holds
    objects by the ten thousand and no garbage: decoding then takes three times as long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_UNTIL_COLLECTED)


class _health_server:  # noqa: N801 - used as a context manager only
    """Serves health on its own port while the service runs; off when the port is 0."""

    def __init__(self, settings: CommonSettings, checks: Sequence[Check]) -> None:
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        if settings.health_port:
            app = FastAPI(openapi_url=None)
            app.include_router(health_router(checks))
            config = uvicorn.Config(
                app, host=settings.address, port=settings.health_port, access_log=False, log_config=None
            )
            self._server = uvicorn.Server(config)

    async def __aenter__(self) -> None:
        if self._server is not None:
            # Without its own `serve`, which would take the signals for itself.
            self._task = asyncio.create_task(self._server._serve())  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task


def read_settings(settings: Callable[[], S]) -> S:
    """Read the settings or end with what is wrong, without a stack trace and without their values."""
    try:
        return settings()
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False):
            place = ".".join(map(str, item["loc"])).upper() or "settings"
            print(f"{place}: {item['msg']}", file=sys.stderr)  # noqa: T201
        raise SystemExit(EXIT_BAD_SETTINGS) from None


def refuse(reason: str) -> NoReturn:
    """End because of what the operator configured, saying what to do."""
    print(reason, file=sys.stderr)  # noqa: T201
    raise SystemExit(EXIT_BAD_SETTINGS)
