"""What the engine costs beside the SDK's own events, on the same simulated provider.

`PYTHONPATH=tests python -m bench.engine` prints deltas per CPU second of the reading process, and what the
simulator itself can do, so that it is known not to be what is measured. Ratios count, not the figures.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
import psutil
import uvloop
from openai import AsyncOpenAI

from chat_worker.engine.interface import Delta
from chat_worker.engine.openai_engine import OpenAIEngine
from support.engine import connected_engine, spec_of
from support.provider import Provider, simulated_provider

MODEL = "sim-1"

ReadOne = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Measured:
    """`characters` is what was read, so that a reader which loses text shows."""

    name: str
    deltas: int
    characters: int
    wall_s: float
    reader_cpu_s: float
    provider_cpu_s: float

    def line(self) -> str:
        return (
            f"{self.name:<28}{self.deltas / self.wall_s:>10,.0f}"
            f"{self.deltas / self.reader_cpu_s:>14,.0f}{self.deltas / self.provider_cpu_s:>16,.0f}"
        )


def engine_reader(engine: OpenAIEngine) -> ReadOne:
    async def read() -> int:
        spec = spec_of(max_output_tokens=100_000)
        return sum([len(e.text) async for e in engine.run(spec) if isinstance(e, Delta)])

    return read


def sdk_reader(client: AsyncOpenAI) -> ReadOne:
    async def read() -> int:
        length = 0
        async for event in await client.responses.create(model=MODEL, input="hello", stream=True):
            if event.type == "response.output_text.delta":
                length += len(event.delta)
        return length

    return read


def socket_reader(port: int) -> ReadOne:
    """Read as little as can be read: how fast the simulator is when nobody decodes."""
    body = orjson.dumps({"model": MODEL, "input": "hello", "stream": True})
    fields = f"host: x\r\nauthorization: Bearer k\r\ncontent-length: {len(body)}"
    head = f"POST /v1/responses HTTP/1.1\r\n{fields}\r\n\r\n"

    async def read() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        writer.write(head.encode() + body)
        length, tail = 0, b""
        while not tail.endswith(b"0\r\n\r\n"):
            piece = await reader.read(2**20)
            length, tail = length + len(piece), (tail + piece)[-5:]
        writer.close()
        return length

    return read


async def measure(name: str, provider: Provider, read: ReadOne, *, streams: int, deltas: int) -> Measured:
    process = psutil.Process(provider.program.pid)
    before = process.cpu_times()
    gc.collect()
    started_s, cpu_s = time.perf_counter(), time.process_time()
    lengths = await asyncio.gather(*(read() for _ in range(streams)))
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - started_s
    after = process.cpu_times()
    provider_cpu_s = max(0.01, after.user + after.system - before.user - before.system)
    return Measured(name, streams * deltas, sum(lengths), wall_s, cpu_s, provider_cpu_s)


async def main(options: argparse.Namespace) -> None:
    paced = {"times": None, "reply_tokens": options.deltas, "tokens_per_s": options.tokens_per_s}
    flat_out = {"times": None, "reply_tokens": 20_000}
    size = {"streams": options.streams, "deltas": options.deltas}
    async with (
        simulated_provider() as provider,
        connected_engine(provider.base_url, idle_s=30) as engine,
        AsyncOpenAI(api_key="k", base_url=provider.base_url) as client,
    ):
        await provider.script(paced)
        await asyncio.gather(engine_reader(engine)(), sdk_reader(client)())
        ours = await measure("engine", provider, engine_reader(engine), **size)
        theirs = await measure("SDK, typed events", provider, sdk_reader(client), **size)
        bare = await measure("bare socket", provider, socket_reader(provider.port), **size)
        await provider.reset()
        await provider.script(flat_out)
        most = await measure(
            "bare socket, unpaced", provider, socket_reader(provider.port), streams=10, deltas=20_000
        )
    assert ours.characters == theirs.characters
    print(f"{options.streams} streams of {options.deltas} deltas at {options.tokens_per_s} tokens/s each")
    print(f"{'reader':<28}{'deltas/s':>10}{'per CPU s':>14}{'simulator/CPU s':>16}")
    for measured in (ours, theirs, bare, most):
        print(measured.line())
    print(f"engine : SDK = {theirs.reader_cpu_s / ours.reader_cpu_s:.1f} : 1 deltas per CPU second")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--streams", type=int, default=30)
    parser.add_argument("--deltas", type=int, default=200)
    parser.add_argument("--tokens-per-s", type=float, default=50)
    uvloop.run(main(parser.parse_args()))
