"""Every exchange and queue of the product, and how they are declared.

Arguments of a queue cannot change in place, so its name carries a version. Only what RabbitMQ 3.10
and 4.x both implement is used (an older broker accepts unknown arguments in silence). A dead-letter
exchange is always the default one, so that nothing has to be bound before messages flow.
"""

from dataclasses import dataclass, field
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue

from common.events.envelope import Command, Message
from common.events.integration import NotificationReceivedV1
from common.events.ledger import (
    AdjustAccountV1,
    BalanceChangedV1,
    OpenAccountV1,
    PlaceHoldV1,
    ReleaseHoldV1,
    SetQuotaV1,
)
from common.events.runs import RunCancelRequestedV1, RunFinishedV1, RunRequestedV1

EVENTS_EXCHANGE = "chat.events"
COMMANDS_EXCHANGE = "chat.commands"

RETRY_DELAYS_S = (5, 30, 120, 600)
"""Attempt n waits in tier n; after the last one the message is parked."""

_MESSAGES_MAX = 100_000
_LOOKS_MAX = 1_000_000
"""Whoever looks at a dead letter takes it and gives it back, which counts: RabbitMQ 4 drops it after 20."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable quorum queue with its retry tiers and its dead letters.

    `reply_ttl_s` marks a queue of requests: whoever asked has given up by then, so an older request
    is dropped, not kept for a retry. `single_active` lets one consumer work while others stand by.
    """

    name: str
    messages: tuple[type[Message], ...]
    delivery_limit: int = 10
    single_active: bool = False
    reply_ttl_s: int | None = None

    @property
    def has_dead_letters(self) -> bool:
        return self.reply_ttl_s is None

    @property
    def dead(self) -> str:
        return f"{self.name}.dead"

    def retry(self, delay_s: int) -> str:
        return f"{self.name}.retry.{delay_s}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExclusiveQueue:
    """One process's own queue: gone with its connection, so what it carries may be lost."""

    purpose: str
    messages: tuple[type[Message], ...] = field(default=())


RUNS = Queue(name="worker.run.v1", messages=(RunRequestedV1,), delivery_limit=5)
RUN_FINISHED = Queue(name="ledger.usage.v1", messages=(RunFinishedV1,), single_active=True)
LEDGER_RPC = Queue(
    name="ledger.rpc.v1",
    messages=(OpenAccountV1, PlaceHoldV1, ReleaseHoldV1, AdjustAccountV1, SetQuotaV1),
    delivery_limit=3,
    reply_ttl_s=5,
)
NOTIFICATIONS = Queue(name="pipedrive.inbox.v1", messages=(NotificationReceivedV1,))
DURABLE = (RUNS, RUN_FINISHED, LEDGER_RPC, NOTIFICATIONS)

RUN_CANCELS = ExclusiveQueue(purpose="worker.cancel", messages=(RunCancelRequestedV1,))
BALANCES = ExclusiveQueue(purpose="gateway.balance", messages=(BalanceChangedV1,))
# Not durable either: without a CRM nobody would empty it, and a full queue would hold up the ledger.
CRM_BALANCES = ExclusiveQueue(purpose="pipedrive.balance", messages=(BalanceChangedV1,))


def exchange_of(message: type[Message]) -> str:
    """Commands go to their owner's queue directly, events to whoever listens."""
    return COMMANDS_EXCHANGE if issubclass(message, Command) else EVENTS_EXCHANGE


def arguments_of(queue: Queue) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": queue.delivery_limit,
        "x-overflow": "reject-publish",
        "x-max-length": _MESSAGES_MAX,
    }
    if queue.single_active:
        arguments["x-single-active-consumer"] = True
    if queue.reply_ttl_s is not None:
        return arguments | {"x-message-ttl": queue.reply_ttl_s * 1000}
    return arguments | _dead_letters_to(queue.dead)


async def declare(channel: AbstractChannel) -> None:
    """Declare all that is durable. Any service may be the first to come."""
    for name, kind in ((EVENTS_EXCHANGE, ExchangeType.TOPIC), (COMMANDS_EXCHANGE, ExchangeType.DIRECT)):
        await channel.declare_exchange(name, kind, durable=True)
    for queue in DURABLE:
        await declare_queue(channel, queue)


async def declare_queue(channel: AbstractChannel, queue: Queue) -> AbstractQueue:
    """Declare the queue with its bindings, retry tiers and dead letters."""
    if queue.reply_ttl_s is None:
        await channel.declare_queue(
            queue.dead,
            durable=True,
            arguments={"x-queue-type": "quorum", "x-delivery-limit": _LOOKS_MAX},
        )
        for delay_s in RETRY_DELAYS_S:
            await channel.declare_queue(
                queue.retry(delay_s),
                durable=True,
                arguments={
                    "x-queue-type": "quorum",
                    "x-message-ttl": delay_s * 1000,
                    "x-overflow": "reject-publish",
                    **_dead_letters_to(queue.name),
                },
            )
    declared = await channel.declare_queue(queue.name, durable=True, arguments=arguments_of(queue))
    for message in queue.messages:
        await declared.bind(exchange_of(message), routing_key=message.routing_key())
    return declared


def _dead_letters_to(queue_name: str) -> dict[str, str]:
    # At least once needs overflow=reject-publish beside it, or RabbitMQ silently falls back to at most once.
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue_name,
        "x-dead-letter-strategy": "at-least-once",
    }
