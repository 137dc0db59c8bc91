"""What a hold costs above the bare conditional write, and how fast runs are settled."""

import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench import load
from bench.figures import Latency
from bench.product import Product
from common.amqp.broker import Broker
from common.clock import SystemClock
from common.events.ledger import HoldReply, PlaceHoldV1
from common.ids import new_id
from common.mongo.client import Database
from support.ledger import SETTINGS, LedgerOnTrial, finished, hold_for, ledger_on, user
from usage_ledger.domain.account import open_account
from usage_ledger.store.documents import account_document

ACCOUNTS = 2_000
HOLDS_MAX = 50
IN_FLIGHT = {1: 100, 50: 400}
"""How many at once, and how many in all in each of the turns."""

TURNS = 3
BATCHES = {1: 30, 20: 15, 100: 4}
"""Size of a batch, and how many batches are settled."""

_RICH = SETTINGS.model_copy(update={"token_balance": 10_000_000})

Step = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """`by_rpc` is what the gateway waits for: there and back over the queue."""

    in_flight: int
    bare: Latency
    hold: Latency
    by_rpc: Latency

    @property
    def added_ms(self) -> float:
        return self.hold.p50_ms - self.bare.p50_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    batch: int
    per_s: float


async def holds(db_url: str, product: Product) -> list[Holds]:
    """Measure the three in turns, so that what else the machine does meets all of them."""
    numbers = itertools.count()
    async with ledger_on(db_url, clock=SystemClock(), settings=_RICH) as trial, _rpc(product) as by_rpc:
        await _fill(trial, trial.db)
        await _fill(trial, product.stack.db)

        async def bare(number: int) -> None:
            user_id = _user(number)
            await trial.db["bare"].update_one(
                {"_id": user_id, "available": {"$gte": 5}}, {"$inc": {"available": -5}}
            )

        async def hold(number: int) -> None:
            request = hold_for(f"r{number}", 5, user_id=_user(number), open_holds_max=HOLDS_MAX)
            await trial.ledger.accounts.place_hold(request)

        steps: list[Step] = [bare, hold, by_rpc]
        return [
            await _holds(steps, numbers, in_flight=in_flight, count=count)
            for in_flight, count in IN_FLIGHT.items()
        ]


async def _holds(
    steps: Sequence[Step], numbers: "itertools.count[int]", *, in_flight: int, count: int
) -> Holds:
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(TURNS):
        for step, own in zip(steps, seconds, strict=True):
            own.extend(await _timed(step, numbers, in_flight=in_flight, count=count))
    bare, hold, by_rpc = map(Latency.of, seconds)
    return Holds(in_flight=in_flight, bare=bare, hold=hold, by_rpc=by_rpc)


async def settlements(db_url: str) -> list[Settled]:
    """Settle runs whose holds are open, one batch after the other, as the one settler does."""
    async with ledger_on(db_url, clock=SystemClock(), settings=_RICH) as trial:
        await _fill(trial, trial.db)
        numbers = itertools.count()
        return [
            await _settled(trial, numbers, batch=batch, batches=count) for batch, count in BATCHES.items()
        ]


async def _settled(
    trial: LedgerOnTrial, numbers: "itertools.count[int]", *, batch: int, batches: int
) -> Settled:
    own = list(itertools.islice(numbers, batch * batches))

    async def hold(number: int) -> None:
        await trial.ledger.accounts.place_hold(hold_for(f"s{number}", 5, user_id=_user(number)))

    waiting = iter(own)
    await load.drain(waiting, hold, in_flight=20)
    runs = [finished(f"s{number}", 3, clock=trial.clock, user_id=_user(number)) for number in own]
    started_s = time.perf_counter()
    for start in range(0, len(runs), batch):
        await trial.ledger.settlements.book(runs[start : start + batch])
    return Settled(batch=batch, per_s=len(runs) / (time.perf_counter() - started_s))


async def _timed(step: Step, numbers: "itertools.count[int]", *, in_flight: int, count: int) -> list[float]:
    seconds: list[float] = []

    async def timed(number: int) -> None:
        started_s = time.perf_counter()
        await step(number)
        seconds.append(time.perf_counter() - started_s)

    await load.drain(itertools.islice(numbers, count), timed, in_flight=in_flight)
    return seconds


@asynccontextmanager
async def _rpc(product: Product) -> AsyncGenerator[Step]:
    async with Broker(product.stack.env["AMQP_URL"], service="bench") as broker:
        client = await broker.rpc_client()

        async def hold(number: int) -> None:
            command = PlaceHoldV1(
                request_id=new_id("q"),
                run_id=f"r{number}",
                user_id=_user(number),
                input_tokens=4,
                output_tokens_min=1,
                output_tokens_max=1,
                open_holds_max=HOLDS_MAX,
            )
            await client.call(command, HoldReply)

        yield hold


async def _fill(trial: LedgerOnTrial, db: Database) -> None:
    """Put accounts in place, and the same documents once more for the bare write."""
    now = trial.clock.now()
    documents = [
        account_document(open_account(user(_user(number)), _RICH.terms, at=now).after)
        for number in range(ACCOUNTS)
    ]
    for collection in ("accounts", "bare"):
        await db[collection].insert_many(documents)


def _user(number: int) -> str:
    return f"u{number % ACCOUNTS:05d}"
