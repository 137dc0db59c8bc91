"""The parts of the dashboard."""

from dataclasses import dataclass

from common.mongo.client import Database
from gateway.asking.ask import Ask
from gateway.dashboard.flags import FlaggedExchanges
from gateway.dashboard.management import Management
from gateway.dashboard.names import Names
from gateway.dashboard.operations import LetterBox, Operations
from gateway.dashboard.operator_actions import OperatorActions
from gateway.dashboard.summary import WriteSummary
from gateway.dashboard.transactions import Transactions
from gateway.dashboard.usage import UsageReport
from gateway.dashboard.users import Users
from gateway.streaming.cancel import CancelRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    names: Names
    usage: UsageReport
    transactions: Transactions
    users: Users
    flags: FlaggedExchanges
    operations: Operations
    summary: WriteSummary


def make_dashboard(
    db: Database, ask: Ask, cancel: CancelRun, *, letters: LetterBox, management: Management | None
) -> Dashboard:
    """Join the parts. Without `management`, of the queues only dead letters are known."""
    clock = ask.clock
    names = Names(db, clock)
    usage = UsageReport(db, names)
    return Dashboard(
        names=names,
        usage=usage,
        transactions=Transactions(db),
        users=Users(db),
        flags=FlaggedExchanges(db),
        operations=Operations(letters, management, OperatorActions(db, clock), clock),
        summary=WriteSummary(db=db, usage=usage, ask=ask, cancel=cancel),
    )
