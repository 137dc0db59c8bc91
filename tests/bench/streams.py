"""Time to first token above the provider's own, and the CPU that a token costs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from openai import AsyncOpenAI

from bench import load
from bench.engine import sdk_reader
from bench.figures import CpuMeter, Latency
from bench.product import TOKENS_PER_S, Product
from bench.raw_http import Reading

OURS = ("gateway", "chat-worker", "usage-ledger")
BROKERS = ("amqp", "redis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Answers of `tokens` tokens; more streams read longer ones, so that the starts do not crowd."""

    streams: int
    tokens: int
    rounds: int

    @property
    def answer_s(self) -> float:
        return self.tokens / TOKENS_PER_S

    @property
    def total_tokens(self) -> int:
        return self.streams * self.tokens * (self.rounds + 1)


LOADS = (
    Load(streams=1, tokens=20, rounds=40),
    Load(streams=10, tokens=100, rounds=10),
    Load(streams=100, tokens=400, rounds=2),
)
BURST = Load(streams=100, tokens=20, rounds=2)
CPU_LOAD = Load(streams=100, tokens=400, rounds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstToken:
    """Seconds to the first token, from the provider itself and through the product."""

    streams: int
    tokens: int
    direct: Latency
    product: Latency

    @property
    def added_ms(self) -> float:
        return self.product.p50_ms - self.direct.p50_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCpu:
    """CPU seconds of each process of the product, and of a process that reads the same with the SDK."""

    streams: int
    tokens: int
    used_s: dict[str, float]
    sdk_s: float

    def per_s(self, names: Sequence[str]) -> float:
        return self.tokens / sum(self.used_s[name] for name in names)

    @property
    def sdk_per_s(self) -> float:
        return self.tokens / self.sdk_s


async def warm_up(product: Product) -> None:
    """Bring every code path, connection and cache of all processes into use."""
    item = Load(streams=10, tokens=50, rounds=2)
    await product.simulate(reply_tokens=item.tokens, tokens_per_s=TOKENS_PER_S)
    for direct in (True, False):
        await _steady(product, item, direct=direct)
    await product.stack.drained()


async def first_tokens(product: Product) -> list[FirstToken]:
    found: list[FirstToken] = []
    for item in LOADS:
        await product.simulate(reply_tokens=item.tokens, tokens_per_s=TOKENS_PER_S)
        direct = await _steady(product, item, direct=True)
        through = await _steady(product, item, direct=False)
        await product.stack.drained()
        found.append(_first_token(item, direct, through))
    return found


async def token_cpu(product: Product) -> TokenCpu:
    """Measure from the first message to the last settlement, the SDK before and after the product."""
    item = CPU_LOAD
    await product.simulate(reply_tokens=item.tokens, tokens_per_s=TOKENS_PER_S)
    sdk_s = await _sdk_cpu_s(product, item)
    meter = CpuMeter(product.pids())
    await _steady(product, item, direct=False)
    await product.stack.drained()
    used_s = meter.used_s()
    sdk_s += await _sdk_cpu_s(product, item)
    return TokenCpu(streams=item.streams, tokens=item.total_tokens, used_s=used_s, sdk_s=sdk_s / 2)


async def burst(product: Product) -> FirstToken:
    """Send a hundred messages in the same moment: the worst case, in which they queue for the database."""
    await product.simulate(reply_tokens=BURST.tokens, tokens_per_s=TOKENS_PER_S)
    readings: list[list[Reading]] = []
    for direct in (True, False):
        async with product.readers(BURST.streams, direct=direct) as readers:
            readings.append(await load.at_once(streams=BURST.streams, rounds=BURST.rounds, read=readers.read))
        await product.stack.drained()
    direct, through = readings
    return _first_token(BURST, direct, through)


async def _steady(product: Product, item: Load, *, direct: bool) -> list[Reading]:
    async with product.readers(item.streams, direct=direct) as readers:
        return await load.steady(
            streams=item.streams, rounds=item.rounds, answer_s=item.answer_s, read=readers.read
        )


async def _sdk_cpu_s(product: Product, item: Load) -> float:
    """Read the same streams with the SDK's own events; all that this process does is reading them."""
    url = f"{product.stack.simulator_url}/v1"
    async with AsyncOpenAI(api_key="k", base_url=url, timeout=60, max_retries=0) as client:
        read = sdk_reader(client)

        async def read_one(_: int) -> int:
            return await read()

        await load.at_once(streams=5, rounds=1, read=read_one)
        meter = CpuMeter({"sdk": [os.getpid()]})
        await load.steady(streams=item.streams, rounds=item.rounds, answer_s=item.answer_s, read=read_one)
        return meter.used_s()["sdk"]


def _first_token(item: Load, direct: list[Reading], product: list[Reading]) -> FirstToken:
    return FirstToken(
        streams=item.streams,
        tokens=item.tokens,
        direct=Latency.of([reading.first_s for reading in direct]),
        product=Latency.of([reading.first_s for reading in product]),
    )
