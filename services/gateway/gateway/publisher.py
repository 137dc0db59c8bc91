"""The queue, as the gateway publishes to it."""

from typing import Protocol

from common.events.envelope import Event


class EventPublisher(Protocol):
    """Where events go; `common.amqp.publisher.Publisher` is one."""

    async def publish(self, message: Event, *, deadline_s: float = 5.0) -> None:
        """Return once the event is safe. Raises PublishFailed or PublishUnknown, both Unavailable."""
        ...
