"""`PYTHONPATH=tests python -m simulators.pipedrive --port 8730 --person "Ann Lee <ann@example.com>"`."""

import argparse
import asyncio
from email.utils import parseaddr
from pathlib import Path

import uvicorn
import uvloop

from common.clock import SystemClock
from simulators.pipedrive.api import create_app
from simulators.pipedrive.clock import MovableClock
from simulators.pipedrive.simulator import Simulator

_SAVE_EVERY_S = 1.0


async def serve(options: argparse.Namespace) -> None:
    simulator = Simulator(MovableClock(SystemClock()), burst=options.burst, daily_tokens=options.daily_tokens)
    if options.data is None or not simulator.load(options.data):
        for person in options.person:
            name, email = parseaddr(person)
            simulator.company.create("person", name or email, by=simulator.by_hand, email=email or None)
    tasks = [asyncio.create_task(simulator.deliver_as_time_passes())]
    if options.data is not None:
        tasks.append(asyncio.create_task(_keep_saved(simulator, options.data)))
    config = uvicorn.Config(
        create_app(simulator),
        host=options.host,
        port=options.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    print(f"listening on http://{options.host}:{options.port}", flush=True)
    await uvicorn.Server(config).serve()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if options.data is not None:
        simulator.save(options.data)
    await simulator.close()


async def _keep_saved(simulator: Simulator, path: Path) -> None:
    while True:
        await asyncio.sleep(_SAVE_EVERY_S)
        simulator.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulators.pipedrive", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, help="keeps people, fields and webhooks in this file")
    parser.add_argument("--person", action="append", default=[], help='"Name <address>"; may be repeated')
    parser.add_argument("--burst", type=int, default=20, help="requests in two seconds")
    parser.add_argument("--daily-tokens", type=int, default=30_000)
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
