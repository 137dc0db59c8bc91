"""A service's two connections to RabbitMQ: one publishes, one consumes.

They are apart because an alarm of the broker blocks a connection that publishes, and acknowledgements
must go on flowing. Heartbeats every 10 s find a half-open connection within half a minute.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.robust_connection import RobustConnection

from common.amqp import topology
from common.amqp.consumer import BatchConsumer, Consumer, EachConsumer
from common.amqp.dead_letters import DeadLetters
from common.amqp.delivery import BatchHandler, Handler
from common.amqp.publisher import Publisher
from common.amqp.rpc import CommandHandler, RpcClient, RpcServer
from common.events.envelope import Command
from common.ids import new_id

_HEARTBEAT_S = 10
_CONNECT_TIMEOUT_S = 5
_RECONNECT_PAUSE_S = 1
_READY_WITHIN_S = 0.1


class Broker:
    """Connects on entry, declares the topology, and hands out the publisher and the consumers."""

    def __init__(self, url: str, *, service: str) -> None:
        self._url = url
        self._service = service
        self._connections: dict[str, RobustConnection] = {}
        self._consumers: list[Consumer] = []
        self.publisher = Publisher(self._publish_channel, service=service)

    async def __aenter__(self) -> Self:
        for purpose in ("publish", "consume"):
            self._connections[purpose] = await self._connect(purpose)
        channel = await self._connections["consume"].channel()
        await topology.declare(channel)
        await channel.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    async def consume(
        self, queue: topology.Queue | topology.ExclusiveQueue, handler: Handler, *, prefetch: int
    ) -> Consumer:
        """Handle every delivery in a task of its own, at most `prefetch` at once."""
        source = await self._source(queue, prefetch)
        return await self._started(EachConsumer(queue, source, self.publisher, handler=handler))

    async def consume_batches(
        self, queue: topology.Queue, handler: BatchHandler, *, batch_max: int
    ) -> Consumer:
        """Handle deliveries in batches, one batch at a time, the next one gathering meanwhile."""
        source = await self._source(queue, 2 * batch_max)
        consumer = BatchConsumer(queue, source, self.publisher, handler=handler, batch_max=batch_max)
        return await self._started(consumer)

    async def serve_rpc(
        self, queue: topology.Queue, handlers: Mapping[type[Command], CommandHandler], *, prefetch: int
    ) -> Consumer:
        """Answer commands, at most `prefetch` at once."""
        source = await self._source(queue, prefetch)
        return await self._started(RpcServer(queue, source, self.publisher, handlers=handlers))

    async def rpc_client(self) -> RpcClient:
        """Open this process's reply queue."""
        channel = await self._connections["consume"].channel()
        queue = await channel.declare_queue(
            f"{self._service}.reply.{new_id('a')}", exclusive=True, auto_delete=True
        )
        client = RpcClient(self.publisher, queue)
        await client.start()
        return client

    def dead_letters(self) -> DeadLetters:
        """Look at dead letters, and send them on their way again."""
        return DeadLetters(self._connections["consume"].channel, self.publisher)

    async def drain(self, *, grace_s: float) -> None:
        """Stop taking on all consumers and let what is in flight end."""
        await asyncio.gather(*(consumer.drain(grace_s=grace_s) for consumer in self._consumers))

    async def check(self) -> list[str]:
        """Say what is wrong, for readiness. Empty is well."""
        wrong = [
            f"the {purpose} connection to RabbitMQ {problem}"
            for purpose, connection in self._connections.items()
            if (problem := await _problem_of(connection))
        ]
        wrong += [f"not consuming from {c.queue}" for c in self._consumers if not c.taking]
        return wrong

    async def _connect(self, purpose: str) -> RobustConnection:
        return await aio_pika.connect_robust(
            self._url,
            timeout=_CONNECT_TIMEOUT_S,
            heartbeat=_HEARTBEAT_S,
            reconnect_interval=_RECONNECT_PAUSE_S,
            client_properties={"connection_name": f"{self._service} {purpose}"},
        )

    async def _publish_channel(self) -> AbstractChannel:
        return await self._connections["publish"].channel(publisher_confirms=True, on_return_raises=True)

    async def _source(
        self, queue: topology.Queue | topology.ExclusiveQueue, prefetch: int
    ) -> aio_pika.abc.AbstractQueue:
        channel = await self._connections["consume"].channel()
        await channel.set_qos(prefetch_count=prefetch)
        if isinstance(queue, topology.Queue):
            return await topology.declare_queue(channel, queue)
        source = await channel.declare_queue(
            f"{queue.purpose}.{new_id('a')}", exclusive=True, auto_delete=True
        )
        for message in queue.messages:
            await source.bind(topology.exchange_of(message), routing_key=message.routing_key())
        return source

    async def _started(self, consumer: Consumer) -> Consumer:
        await consumer.start()
        self._consumers.append(consumer)
        return consumer


async def _problem_of(connection: RobustConnection) -> str | None:
    if connection.is_closed or not connection.connected.is_set() or connection.transport is None:
        return "is down"
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            # Waits while the broker blocks the connection: it tells so to those that have published.
            await connection.transport.ready()
    except TimeoutError:
        return "is blocked: RabbitMQ is short of memory or disk"
    return None
