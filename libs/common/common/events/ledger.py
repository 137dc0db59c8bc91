"""Commands to the ledger (answered over the queue) and the events that it publishes."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.events.envelope import Command, Company, Event

TransactionKind = Literal["opening", "usage", "grant", "adjustment", "quota", "correction"]


class AccountView(BaseModel):
    """An account as others may see it. Tokens are integers; `available` is balance less held."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    user_id: str
    token_balance: int
    token_held: int
    token_available: int
    token_grant: int
    sequence: int
    next_grant_at: datetime | None = None


class OpenAccountV1(Command):
    """Make the account when missing, keep its profile current, and grant anew when it is depleted."""

    name: ClassVar[str] = "ledger.account.open"

    user_id: str
    user_name: str | None
    email: str | None
    company: Company | None


class PlaceHoldV1(Command):
    """Reserve tokens for a run: input plus as much output as the balance pays for.

    Between `input_tokens + output_tokens_min` and `input_tokens + output_tokens_max` is held;
    less is refused with `insufficient_balance`. `run_id` names the hold: a repeat is the same hold.
    """

    name: ClassVar[str] = "ledger.hold.place"

    run_id: str
    user_id: str
    input_tokens: int = Field(gt=0)
    output_tokens_min: int = Field(gt=0)
    output_tokens_max: int = Field(gt=0)
    open_holds_max: int = Field(gt=0)


class ReleaseHoldV1(Command):
    """Give a hold back whose run was never published. Unknown holds are no error."""

    name: ClassVar[str] = "ledger.hold.release"

    run_id: str
    user_id: str


class AdjustAccountV1(Command):
    """An operator corrects an account. With `expected_balance`, a balance that moved is a conflict."""

    name: ClassVar[str] = "ledger.account.adjust"

    user_id: str
    actor: str
    reason: str
    token_balance: int | None = None
    token_grant: int | None = None
    expected_balance: int | None = None


class HoldReply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    hold_tokens: int
    account: AccountView


class AccountReply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    account: AccountView


class BalanceChangedV1(Event):
    """An account moved. A later `sequence` wins; repeats and reorder do no harm."""

    name: ClassVar[str] = "account.balance_changed"

    account: AccountView
    company: Company | None
    cause: TransactionKind
    run_id: str | None = None
