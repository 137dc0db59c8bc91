"""The one publisher: persistent, confirmed, returned when nobody listens, with a deadline of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import pamqp.commands
from aio_pika import DeliveryMode
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from common.amqp.topology import exchange_of
from common.clock import Clock, SystemClock
from common.errors import PublishFailed, PublishUnknown
from common.events.envelope import Event, Message
from common.tasks import is_told_to_stop

_RETRY_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a message goes and what travels with it."""

    exchange: str
    routing_key: str
    message_id: str
    type: str
    headers: Mapping[str, str | int]
    reply_to: str | None = None
    correlation_id: str | None = None
    expires_s: int | None = None
    mandatory: bool = True


class Publisher:
    """Publishes on a connection of its own, since a broker's alarm blocks connections that publish."""

    def __init__(
        self,
        open_channel: Callable[[], Awaitable[AbstractChannel]],
        *,
        service: str,
        clock: Clock | None = None,
    ) -> None:
        self._open_channel = open_channel
        self._service = service
        self._clock = clock or SystemClock()
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    async def publish(self, message: Event, *, deadline_s: float = 5.0) -> None:
        """Publish an event under its own id; return once the broker has it on disk.

        Raises PublishFailed or PublishUnknown, both Unavailable. Publishing the same event again is
        always safe: its consumers know it by its id.
        """
        route = Route(
            exchange=exchange_of(type(message)),
            routing_key=message.routing_key(),
            message_id=message.event_id,
            type=message.routing_key(),
            headers={},
            mandatory=message.needs_listener,
        )
        await self.publish_raw(encode(message), route, deadline_s=deadline_s)

    async def publish_raw(self, body: bytes, route: Route, *, deadline_s: float = 5.0) -> None:
        """Publish bytes; lost connections are tried again until the deadline, under the same id."""
        message = AmqpMessage(
            body,
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=route.message_id,
            timestamp=self._clock.now(),
            type=route.type,
            app_id=self._service,
            headers=dict(route.headers),
            reply_to=route.reply_to,
            correlation_id=route.correlation_id,
            expiration=route.expires_s,
        )
        unknown = False
        try:
            async with asyncio.timeout(deadline_s):
                while True:
                    try:
                        await self._publish_once(message, route)
                    except PublishFailed:
                        # An earlier try whose confirmation was lost may have arrived all the same.
                        if unknown:
                            raise PublishUnknown from None
                        raise
                    except (AMQPError, ConnectionError, RuntimeError):
                        unknown = True
                    except asyncio.CancelledError:
                        if is_told_to_stop():
                            raise
                        unknown = True
                    else:
                        return
                    await asyncio.sleep(_RETRY_PAUSE_S)
        except TimeoutError:
            raise PublishUnknown from None

    async def _publish_once(self, message: AmqpMessage, route: Route) -> None:
        channel = await self._ready_channel()
        exchange = (
            await channel.get_exchange(route.exchange, ensure=False)
            if route.exchange
            else channel.default_exchange
        )
        try:
            answer = await exchange.publish(message, route.routing_key, mandatory=route.mandatory)
        except (PublishError, DeliveryError) as error:
            raise PublishFailed(f"{route.type}: {type(error).__name__}") from error
        if not isinstance(answer, pamqp.commands.Basic.Ack):
            raise PublishFailed(f"{route.type}: answered with {type(answer).__name__}")

    async def _ready_channel(self) -> AbstractChannel:
        # After a lost connection the library restores the channel by itself; a channel is opened once.
        if self._channel is None:
            async with self._opening:
                if self._channel is None:
                    self._channel = await self._open_channel()
        return self._channel


def encode(message: Message) -> bytes:
    return message.model_dump_json().encode()
