"""All messages on the queue, for the snapshots in `contracts/events` and for whoever looks for one."""

import json

from common.events.envelope import Message
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

MESSAGES: tuple[type[Message], ...] = (
    RunRequestedV1,
    RunCancelRequestedV1,
    RunFinishedV1,
    OpenAccountV1,
    PlaceHoldV1,
    ReleaseHoldV1,
    AdjustAccountV1,
    SetQuotaV1,
    BalanceChangedV1,
    NotificationReceivedV1,
)


def snapshots() -> dict[str, str]:
    """Return the JSON schema of every message by its file name in `contracts/events`."""
    return {
        f"{message.routing_key()}.json": json.dumps(message.model_json_schema(), indent=2, sort_keys=True)
        + "\n"
        for message in MESSAGES
    }
