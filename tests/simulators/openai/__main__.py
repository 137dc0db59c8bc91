"""`PYTHONPATH=tests python -m simulators.openai --port 8720`."""

import argparse
import asyncio
import gc
import signal

import uvloop

from common.clock import SystemClock
from simulators.openai.api import Api
from simulators.openai.http import Connection
from simulators.openai.pacer import Pacer


async def serve(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    api = Api(Pacer(), SystemClock())
    server = await loop.create_server(lambda: Connection(api), host, port, backlog=2_048)
    print(f"listening on http://{host}:{port}/v1", flush=True)
    await stop.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulators.openai", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    # Streams are freed by reference counts; a collection in between would show as a late delta.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    uvloop.run(serve(options.host, options.port))


if __name__ == "__main__":
    main()
