"""All messages on the queue, for the snapshots in `contracts/events` and for whoever looks for one."""

from common.events.envelope import Message
from common.events.ledger import AdjustAccountV1, BalanceChangedV1, OpenAccountV1, PlaceHoldV1, ReleaseHoldV1
from common.events.runs import RunCancelRequestedV1, RunFinishedV1, RunRequestedV1

MESSAGES: tuple[type[Message], ...] = (
    RunRequestedV1,
    RunCancelRequestedV1,
    RunFinishedV1,
    OpenAccountV1,
    PlaceHoldV1,
    ReleaseHoldV1,
    AdjustAccountV1,
    BalanceChangedV1,
)
