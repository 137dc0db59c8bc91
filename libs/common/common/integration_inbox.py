"""The inbox of /int: what came in, exactly as it came. The gateway writes it, pipedrive-sync reads it.

A row is stored before its sender is answered, so nothing that was accepted can be lost. Its id is made
from what the sender calls it, so the same notification is one row however often it comes.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.events.integration import Channel

INBOX = "int_inbox"
DECISIONS = "crm_decisions"
"""What became of each row, by the same id. Only pipedrive-sync writes it."""
WAITING = "crm_waiting"
"""What could not be applied and waits for an operator: `_id`, `why`, `person_id`, `user_ref`, `emails`,
`name`, `value` (as it was written), `at`, `since`, `actor`, `reason`, `version_event` (another one when
something newer took the row's place). Only pipedrive-sync writes it."""

KEPT_DAYS = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """`body` is the text of the request, never parsed into the database; `user_ref` and `quota_text` are
    the query of /int/tokens. `actor` is who called, as far as the way in tells.
    """

    id: str
    channel: Channel
    received_at: datetime
    body: str
    actor: str
    user_ref: str | None = None
    quota_text: str | None = None

    def document(self) -> dict[str, Any]:
        return {
            "_id": self.id,
            "channel": self.channel,
            "received_at": self.received_at,
            "body": self.body,
            "actor": self.actor,
            "user_ref": self.user_ref,
            "quota_text": self.quota_text,
            "copies": 0,
            "to_publish": True,
        }


def inbox_row(document: dict[str, Any]) -> InboxRow:
    return InboxRow(
        id=document["_id"],
        channel=document["channel"],
        received_at=document["received_at"],
        body=document["body"],
        actor=document["actor"],
        user_ref=document["user_ref"],
        quota_text=document["quota_text"],
    )
