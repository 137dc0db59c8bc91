"""While what a handler needs is away, messages keep their attempts: on a real broker."""

import asyncio
from collections import Counter
from collections.abc import Callable

from common.amqp import topology
from common.amqp.broker import Broker
from common.amqp.delivery import Delivery, Done, Outcome
from common.clock import SystemClock
from common.errors import Unavailable
from common.events.integration import NotificationReceivedV1
from common.metrics import CONSUMERS_BRAKED

QUEUE = topology.NOTIFICATIONS


class Dependency:
    """What the handler needs; counts how often it was asked, and what it did."""

    def __init__(self) -> None:
        self.is_away = True
        self.asked = 0
        self.attempts: Counter[int] = Counter()
        self.handled: Counter[str] = Counter()

    async def each(self, delivery: Delivery) -> Outcome:
        self.asked += 1
        if self.is_away:
            raise Unavailable
        self.handled[delivery.message_id] += 1
        self.attempts[delivery.attempt] += 1
        return Done()

    async def batch(self, deliveries: list[Delivery]) -> list[Outcome]:
        self.asked += len(deliveries)
        if self.is_away:
            raise Unavailable
        self.handled.update(delivery.message_id for delivery in deliveries)
        return [Done()] * len(deliveries)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.05)


async def publish(broker: Broker, count: int) -> None:
    for number in range(count):
        event = NotificationReceivedV1(
            event_id=f"n{number}", occurred_at=SystemClock().now(), channel="webhook"
        )
        await broker.publisher.publish(event, deadline_s=30)


def is_braked(queue: topology.Queue) -> bool:
    return CONSUMERS_BRAKED.labels(queue=queue.name)._value.get() == 1


async def test_messages_wait_untouched_until_one_of_them_succeeds(amqp_url: str):
    dependency = Dependency()
    async with Broker(amqp_url, service="test") as broker:
        await broker.consume(QUEUE, dependency.each, prefetch=10)
        await publish(broker, 80)
        await until(lambda: is_braked(QUEUE))
        # One is tried, and one more: that shows that it goes on by itself.
        before = dependency.asked
        await until(lambda: dependency.asked >= before + 2)
        # The last twenty, and what was being handled when they were counted, and single ones since.
        assert dependency.asked <= 20 + 10 + 10
        dependency.is_away = False
        await until(lambda: len(dependency.handled) == 80)
        assert not is_braked(QUEUE)
        # Of those that failed before it braked one attempt is gone; whoever was tried meanwhile kept theirs.
        assert set(dependency.attempts) <= {1, 2}
        assert dependency.attempts[2] < 20
        assert await broker.dead_letters().depth(QUEUE) == 0
    assert set(dependency.handled.values()) == {1}


async def test_a_braked_batch_consumer_gives_all_back_and_the_stand_by_goes_on(amqp_url: str):
    away, well = Dependency(), Dependency()
    well.is_away = False
    queue = topology.Queue(name="test.braked.v1", messages=(NotificationReceivedV1,), single_active=True)
    async with Broker(amqp_url, service="b") as b:
        async with Broker(amqp_url, service="a") as a:
            await a.consume_batches(queue, away.batch, batch_max=25)
            await b.consume_batches(queue, well.batch, batch_max=25)
            await publish(a, 80)
            await until(lambda: is_braked(queue))
            assert well.handled == Counter()
            await a.drain(grace_s=3_600)
        await until(lambda: len(well.handled) == 80)
        assert await b.dead_letters().depth(queue) == 0
    assert set(well.handled.values()) == {1}
