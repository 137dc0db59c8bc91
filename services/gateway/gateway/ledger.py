"""The ledger, as the gateway asks it."""

from typing import Protocol, TypeVar

from pydantic import BaseModel

from common.auth import Session
from common.events.envelope import Command
from common.events.ledger import AccountReply, AccountView, OpenAccountV1
from common.ids import new_id

R = TypeVar("R", bound=BaseModel)


class Ledger(Protocol):
    """Request and reply; `common.amqp.rpc.RpcClient` is one."""

    async def call(self, command: Command, reply: type[R], *, deadline_s: float = 5.0) -> R:
        """Raise what the ledger answered, or Unavailable when it did not answer in time."""
        ...


async def open_account(ledger: Ledger, session: Session, *, deadline_s: float = 5.0) -> AccountView:
    """Make the user's account when missing, and grant anew what is depleted. Repeats are harmless."""
    command = OpenAccountV1(
        request_id=new_id("q"),
        user_id=session.user_id,
        user_name=session.name,
        email=session.email,
        company=session.company,
    )
    return (await ledger.call(command, AccountReply, deadline_s=deadline_s)).account
