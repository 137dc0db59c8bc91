"""The one consumer runtime: decode, handle, settle the delivery.

A handler never runs inside the delivery's own callback: a lost broker connection cancels that callback,
and what it does (a run that is being paid for) must go on. The acknowledgement then fails, the broker
delivers again, and the handler, being idempotent, finds its work done.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any

from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError

from common.amqp.brake import Brake
from common.amqp.delivery import (
    ATTEMPT_HEADER,
    DEAD_REASON_HEADER,
    BatchHandler,
    DeadLetter,
    Delivery,
    Handler,
    Outcome,
    RetryLater,
    attempt_of,
    decode,
)
from common.amqp.publisher import Publisher, Route
from common.amqp.topology import RETRY_DELAYS_S, ExclusiveQueue, Queue
from common.errors import Malformed, Unavailable
from common.log import get_logger
from common.metrics import CONSUMED
from common.tasks import is_told_to_stop

log = get_logger()

_MOVE_PAUSE_S = 1.0
_MOVE_PAUSE_MAX_S = 30.0


class Consumer(ABC):
    """Takes messages from one queue until it is drained."""

    def __init__(self, queue: Queue | ExclusiveQueue, source: AbstractQueue, publisher: Publisher) -> None:
        self.queue = queue
        self._source = source
        self._publisher = publisher
        self._types = {message.routing_key(): message for message in queue.messages}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tag: str | None = None
        self._brake = Brake(self._label)

    async def start(self) -> None:
        self._tag = await self._source.consume(self._on_message)

    @property
    def taking(self) -> bool:
        """Tell whether the broker still knows us as a consumer (it may cancel one in silence)."""
        return self._tag is not None and not self._source.channel.is_closed

    async def drain(self, *, grace_s: float) -> None:
        """Stop taking, let what is in flight end within the grace, hand the rest back to the broker."""
        tag, self._tag = self._tag, None
        if tag is not None and not self._source.channel.is_closed:
            try:
                async with asyncio.timeout(5):
                    await self._source.cancel(tag)
            except (AMQPError, ConnectionError, RuntimeError, TimeoutError) as error:
                log.warning("consumer_cancel_failed", queue=self._source.name, error=type(error).__name__)
        self._brake.let_go()
        await self._finish_tasks(grace_s)

    async def _finish_tasks(self, grace_s: float) -> None:
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=5)

    @abstractmethod
    async def _on_message(self, incoming: AbstractIncomingMessage) -> None: ...

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _keeps(self, outcomes: Sequence[Outcome]) -> bool:
        """Note what became of messages; tell whether to try them again instead of settling them."""
        if not isinstance(self.queue, Queue) or not self.queue.has_dead_letters:
            # Where no attempts are counted, none are worth saving.
            return False
        self._brake.note(outcomes)
        return self._tag is not None and all(self._brake.keeps(outcome) for outcome in outcomes)

    def _decode(self, incoming: AbstractIncomingMessage) -> Delivery | DeadLetter:
        try:
            return decode(incoming, self._types)
        except Malformed as error:
            return DeadLetter(error.detail)

    async def _settle(self, incoming: AbstractIncomingMessage, outcome: Outcome) -> None:
        """Acknowledge a delivery, after its copy is where it belongs. Never raises, but when told to stop."""
        CONSUMED.labels(queue=self._label, outcome=type(outcome).__name__).inc()
        try:
            await self._moved(incoming, outcome)
            await incoming.ack()
        except asyncio.CancelledError:
            # The library cancels who waits for a connection that it closes.
            if is_told_to_stop():
                raise
            log.info("ack_lost", queue=self._label, error="CancelledError")
        except (AMQPError, ConnectionError, RuntimeError) as error:
            log.info("ack_lost", queue=self._label, error=type(error).__name__)
        except Exception:
            # The edge: what cannot be settled stays with the broker, and must not end the consumer.
            log.exception("not_settled", queue=self._label)

    async def _moved(self, incoming: AbstractIncomingMessage, outcome: Outcome) -> None:
        """Copy a message to where its outcome sends it.

        While the broker takes no copy, the delivery is kept: to give it back would count as one more of
        its deliveries, and after the last one it would be set aside though nothing is wrong with it.
        """
        pause_s = _MOVE_PAUSE_S
        while True:
            try:
                if isinstance(outcome, RetryLater):
                    await self._retry(incoming, outcome.reason)
                elif isinstance(outcome, DeadLetter):
                    await self._set_aside(incoming, outcome.reason)
            except Unavailable as error:
                log.warning("message_not_moved", queue=self._label, code=error.code, pause_s=pause_s)
            else:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MOVE_PAUSE_MAX_S)

    async def _retry(self, incoming: AbstractIncomingMessage, reason: str) -> None:
        attempt = attempt_of(incoming)
        if isinstance(self.queue, ExclusiveQueue) or self.queue.reply_ttl_s is not None:
            log.warning("message_dropped", queue=self._source.name, reason=reason)
        elif attempt > len(RETRY_DELAYS_S):
            await self._set_aside(incoming, f"gave up after {attempt} attempts: {reason}")
        else:
            log.info("message_retried", queue=self.queue.name, attempt=attempt, reason=reason)
            await self._copy(
                incoming, self.queue.retry(RETRY_DELAYS_S[attempt - 1]), {ATTEMPT_HEADER: attempt + 1}
            )

    async def _set_aside(self, incoming: AbstractIncomingMessage, reason: str) -> None:
        log.error("message_dead", queue=self._source.name, message_id=incoming.message_id, reason=reason)
        if isinstance(self.queue, Queue) and self.queue.has_dead_letters:
            headers: dict[str, str | int] = {
                ATTEMPT_HEADER: attempt_of(incoming),
                DEAD_REASON_HEADER: reason[:500],
            }
            await self._copy(incoming, self.queue.dead, headers)

    async def _copy(
        self, incoming: AbstractIncomingMessage, queue_name: str, headers: dict[str, str | int]
    ) -> None:
        # Only our own headers travel on: a copy that keeps `x-death` is taken for a cycle and dropped.
        route = Route(
            exchange="",
            routing_key=queue_name,
            message_id=incoming.message_id or "",
            type=incoming.type or "",
            headers=headers,
        )
        await self._publisher.publish_raw(incoming.body, route)

    @property
    def _label(self) -> str:
        return self.queue.name if isinstance(self.queue, Queue) else self.queue.purpose


class EachConsumer(Consumer):
    """Handles every delivery in a task of its own, as many at once as the prefetch allows."""

    def __init__(
        self, queue: Queue | ExclusiveQueue, source: AbstractQueue, publisher: Publisher, *, handler: Handler
    ) -> None:
        super().__init__(queue, source, publisher)
        self._handler = handler

    async def _on_message(self, incoming: AbstractIncomingMessage) -> None:
        self._spawn(self._handle(incoming))

    async def _handle(self, incoming: AbstractIncomingMessage) -> None:
        delivery = self._decode(incoming)
        if isinstance(delivery, DeadLetter):
            await self._settle(incoming, delivery)
            return
        while True:
            await self._brake.admit()
            try:
                outcome = await self._handler(delivery)
            except Exception as error:  # noqa: BLE001 - the edge: any failure becomes an outcome
                outcome = outcome_of(error)
            if not self._keeps([outcome]):
                break
        await self._settle(incoming, outcome)


class BatchConsumer(Consumer):
    """Handles what has piled up while the last batch was worked on: alone when idle, many under load."""

    def __init__(
        self,
        queue: Queue,
        source: AbstractQueue,
        publisher: Publisher,
        *,
        handler: BatchHandler,
        batch_max: int,
    ) -> None:
        super().__init__(queue, source, publisher)
        self._handler = handler
        self._batch_max = batch_max
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._worker = self._spawn(self._work())
        await super().start()

    @property
    def taking(self) -> bool:
        return super().taking and self._worker is not None and not self._worker.done()

    async def _on_message(self, incoming: AbstractIncomingMessage) -> None:
        self._arrived.put_nowait(incoming)

    async def _finish_tasks(self, grace_s: float) -> None:
        try:
            async with asyncio.timeout(0 if self._brake.is_on else grace_s):
                await self._arrived.join()
        except TimeoutError:
            log.warning("batches_handed_back", queue=self._label, waiting=self._arrived.qsize())
        for task in self._tasks:
            task.cancel()
        await super()._finish_tasks(5)

    async def _work(self) -> None:
        while True:
            batch = [await self._arrived.get()]
            try:
                await self._brake.admit()
                size_max = 1 if self._brake.is_on else self._batch_max
                while len(batch) < size_max and not self._arrived.empty():
                    batch.append(self._arrived.get_nowait())
                await self._handle(batch)
            finally:
                for _ in batch:
                    self._arrived.task_done()

    async def _handle(self, batch: list[AbstractIncomingMessage]) -> None:
        decoded = [(incoming, self._decode(incoming)) for incoming in batch]
        bad = [(incoming, item) for incoming, item in decoded if isinstance(item, DeadLetter)]
        good = [(incoming, item) for incoming, item in decoded if isinstance(item, Delivery)]
        outcomes = await self._outcomes([delivery for _, delivery in good])
        if outcomes and self._keeps(outcomes):
            # Behind the others: the next one to be tried need not be the same.
            for incoming, _ in good:
                self._arrived.put_nowait(incoming)
            good, outcomes = [], []
        handled = [(incoming, outcome) for (incoming, _), outcome in zip(good, outcomes, strict=True)]
        await asyncio.gather(*(self._settle(incoming, outcome) for incoming, outcome in [*bad, *handled]))

    async def _outcomes(self, deliveries: list[Delivery]) -> list[Outcome]:
        if not deliveries:
            return []
        try:
            return await self._handler(deliveries)
        except Exception as error:  # noqa: BLE001 - the edge: any failure becomes an outcome
            return [outcome_of(error)] * len(deliveries)


def outcome_of(error: Exception) -> Outcome:
    """Translate what a handler raised: malformed is set aside, anything else is tried again with delay."""
    if isinstance(error, Malformed):
        return DeadLetter(error.detail)
    if isinstance(error, Unavailable):
        return RetryLater(error.code)
    log.error("handler_failed", exc_info=error)
    return RetryLater(f"bug: {type(error).__name__}", cause="bug")
