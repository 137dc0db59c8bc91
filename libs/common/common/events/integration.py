"""What the customer's CRM and main application tell us."""

from typing import ClassVar, Literal

from common.events.envelope import Event

Channel = Literal["webhook", "tokens", "resolution"]
"""A webhook of the CRM, a call of /int/tokens, or what an operator decided about a waiting notification."""


class NotificationReceivedV1(Event):
    """A notification is stored in `int_inbox`. `event_id` is the id of its row, and the text stays there."""

    name: ClassVar[str] = "integration.notification_received"

    channel: Channel
