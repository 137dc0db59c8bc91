"""Carries out the plan on a running stack, and puts everything right after each fault."""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aio_pika
from redis.asyncio import Redis

from chat_worker.runs.records import finished_event
from common.amqp import topology
from common.amqp.publisher import encode
from nemesis.schedule import LANES, Lane, Step, steps
from support.faulty_stack import FaultyStack, frozen
from support.stack import Part

_ERROR = '"level": "error"'
_SLOW_BYTES_PER_S = 100_000
_REPEATED_RUNS = 10
_REPEATS = 5


@dataclass(slots=True)
class Breaking:
    """`done` counts the faults by kind, `errors` are the lines that processes logged as such."""

    stack: FaultyStack
    seed: int
    done: Counter[str] = field(default_factory=Counter[str])
    errors: list[str] = field(default_factory=list[str])

    async def run(self, *, for_s: float) -> None:
        """Break one thing after the other in every lane until the time is over; all is whole after it."""
        async with asyncio.TaskGroup() as group:
            for lane in LANES:
                group.create_task(self._lane(lane, for_s))
        self.stack.heal()
        await self.stack.until_ready()

    def note_errors(self, part: Part) -> None:
        """Keep what a process logged as errors, before its output goes with it."""
        self.errors += [line for line in part.program.output().splitlines() if _ERROR in line]

    async def _lane(self, lane: Lane, for_s: float) -> None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + for_s
        for step in steps(self.seed, lane):
            await asyncio.sleep(step.pause_s)
            if loop.time() >= ends_at:
                return
            await self._break(step)
            self.done[step.kind] += 1

    async def _break(self, step: Step) -> None:
        part = self.stack.of(step.role)[step.number]
        acts: dict[str, Callable[[Step, Part], Awaitable[None]]] = {
            "kill": self._kill,
            "restart": self._restart,
            "freeze": self._freeze,
            "reset link": self._reset_link,
            "lose answers": self._lose_answers,
            "half-open link": self._half_open_link,
            "cut link": self._cut_link,
            "slow link": self._slow_link,
            "repeat settlements": self._repeat_settlements,
            "flush redis": self._flush_redis,
            "kill redis": self._kill_redis,
            "freeze redis": self._freeze_redis,
            "kill broker": self._kill_broker,
            "alarm broker": self._alarm_broker,
            "close broker's connections": self._close_connections,
            "kill database": self._kill_database,
        }
        await acts[step.kind](step, part)

    async def _kill(self, _: Step, part: Part) -> None:
        part.program.send(signal.SIGKILL)
        await part.program.ended()
        await self._start(part)

    async def _restart(self, _: Step, part: Part) -> None:
        part.program.send(signal.SIGTERM)
        code = await part.program.ended(within_s=60)
        assert code == 0, (
            f"{part.module} ended with {code} when told to stop:\n{part.program.output()[-4000:]}"
        )
        await self._start(part)

    async def _start(self, part: Part) -> None:
        """Start a process again, as its supervisor would: a server may be away just now."""
        self.note_errors(part)
        while True:
            try:
                return await part.restart()
            except AssertionError:
                if part.program.is_alive:
                    raise

    async def _freeze(self, step: Step, part: Part) -> None:
        with frozen(part.program):
            await asyncio.sleep(step.lasts_s)

    async def _reset_link(self, step: Step, part: Part) -> None:
        self.stack.link(part, step.link).reset()

    async def _lose_answers(self, step: Step, part: Part) -> None:
        link = self.stack.link(part, step.link)
        link.swallow_down = True
        await asyncio.sleep(step.lasts_s)
        link.heal()

    async def _half_open_link(self, step: Step, part: Part) -> None:
        link = self.stack.link(part, step.link)
        link.swallow_up = link.swallow_down = True
        await asyncio.sleep(step.lasts_s)
        link.heal()

    async def _cut_link(self, step: Step, part: Part) -> None:
        with self.stack.away(self.stack.link(part, step.link)):
            await asyncio.sleep(step.lasts_s)

    async def _slow_link(self, step: Step, part: Part) -> None:
        link = self.stack.link(part, step.link)
        link.latency_s, link.bytes_per_s = 0.1, _SLOW_BYTES_PER_S
        await asyncio.sleep(step.lasts_s)
        link.heal()

    async def _repeat_settlements(self, _step: Step, _part: Part) -> None:
        """Deliver the events of runs that are long settled again, several times."""
        newest = self.stack.db["runs"].find({"finished_at": {"$ne": None}}).sort("finished_at", -1)
        events = [finished_event(run) for run in await newest.to_list(_REPEATED_RUNS)]
        async with await aio_pika.connect(self.stack.env["AMQP_URL"]) as connection:
            exchange = (await connection.channel()).default_exchange
            for event in events * _REPEATS:
                message = aio_pika.Message(encode(event), type=event.routing_key(), message_id=event.event_id)
                await exchange.publish(message, topology.RUN_FINISHED.name)

    async def _flush_redis(self, _step: Step, _part: Part) -> None:
        async with Redis.from_url(self.stack.servers.urls["redis"]) as redis:
            await redis.flushall()

    async def _kill_redis(self, _step: Step, _part: Part) -> None:
        await self.stack.kill_server("redis")
        await self.stack.servers.until_ready("redis")

    async def _freeze_redis(self, step: Step, _: Part) -> None:
        async with self.stack.frozen_server("redis"):
            await asyncio.sleep(step.lasts_s)

    async def _kill_broker(self, _step: Step, _part: Part) -> None:
        await self.stack.kill_server("amqp")
        await self.stack.servers.until_ready("amqp")

    async def _alarm_broker(self, step: Step, _: Part) -> None:
        async with self.stack.memory_alarm():
            await asyncio.sleep(step.lasts_s)

    async def _close_connections(self, _step: Step, _part: Part) -> None:
        for proxy in self.stack.links_to("amqp"):
            proxy.reset()

    async def _kill_database(self, _step: Step, _part: Part) -> None:
        await self.stack.kill_server("db")
        await self.stack.servers.until_ready("db")
