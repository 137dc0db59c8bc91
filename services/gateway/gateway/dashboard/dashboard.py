"""The parts of the dashboard."""

from dataclasses import dataclass

from common.clock import Clock
from common.mongo.client import Database
from gateway.dashboard.flags import FlaggedExchanges
from gateway.dashboard.management import Management
from gateway.dashboard.names import Names
from gateway.dashboard.operations import LetterBox, Operations
from gateway.dashboard.operator_actions import OperatorActions
from gateway.dashboard.transactions import Transactions
from gateway.dashboard.usage import UsageReport
from gateway.dashboard.users import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    names: Names
    usage: UsageReport
    transactions: Transactions
    users: Users
    flags: FlaggedExchanges
    operations: Operations


def make_dashboard(
    db: Database, clock: Clock, *, letters: LetterBox, management: Management | None
) -> Dashboard:
    """Join the parts. Without `management`, the queues show their dead letters only."""
    names = Names(db, clock)
    return Dashboard(
        names=names,
        usage=UsageReport(db, names),
        transactions=Transactions(db),
        users=Users(db),
        flags=FlaggedExchanges(db),
        operations=Operations(letters, management, OperatorActions(db, clock), clock),
    )
