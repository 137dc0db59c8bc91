"""`python -m gateway`: serve until SIGTERM or SIGINT, then let open requests end."""

import asyncio
import math
import resource
import signal

import uvicorn
import uvloop

from common import log
from common.assistants import AssistantNotFound
from common.service import collect_rarely, read_settings, refuse
from gateway.app import create_app
from gateway.bootstrap import SERVICE, open_services
from gateway.context import Services
from gateway.protocol import GatewayProtocol
from gateway.settings import Settings

_KEEP_ALIVE_S = 75
"""Longer than proxies keep a connection, so that it is they who close it."""


def main() -> None:
    settings = read_settings(Settings)
    log.configure(SERVICE, level=settings.log_level)
    _allow_many_connections()
    try:
        uvloop.run(_serve(settings))
    except AssistantNotFound as error:
        refuse(str(error))


async def _serve(settings: Settings) -> None:
    logger = log.get_logger()
    async with open_services(settings) as services:
        server = uvicorn.Server(_config(settings, services))
        loop = asyncio.get_running_loop()

        def stop() -> None:
            if services.stopping.is_set():
                server.force_exit = True
            services.stopping.set()
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        collect_rarely()
        logger.info("started", address=settings.address, port=settings.port)
        # Without uvicorn's own `serve`, which takes the signals for itself and raises them again at its end.
        await server._serve()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    logger.info("stopped")


def _config(settings: Settings, services: Services) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(services),
        host=settings.address,
        port=settings.port,
        http=GatewayProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=settings.connections_max,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(settings.drain_s),
    )


def _allow_many_connections() -> None:
    """Raise the soft limit of open files, which is 1,024 by default, to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
