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


class SetQuotaV1(Command):
    """Set what a user may use, absolutely: the balance moves by the difference to the quota before.

    What was used stays used, and `token_grant` becomes the quota too. An unknown user gets an account
    that starts with the quota. Of two, the later `effective_at` wins, then the greater `source_event`: an
    older one changes nothing, however late it comes, and the same value again moves no balance.
    """

    name: ClassVar[str] = "ledger.quota.set"

    user_id: str
    quota: int = Field(ge=0, le=2**53)
    effective_at: datetime
    source_event: str
    actor: str
    reason: str
    user_name: str | None = None
    email: str | None = None


QuotaStatus = Literal["applied", "unchanged", "stale"]


class QuotaReply(BaseModel):
    """`quota` is what is in force after the command, from `effective_at` and `source_event`."""

    model_config = ConfigDict(extra="ignore")

    status: QuotaStatus
    quota: int
    effective_at: datetime
    source_event: str
    account: AccountView


class HoldReply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    hold_tokens: int


class AccountReply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    account: AccountView


class BalanceChangedV1(Event):
    """An account moved. A later `sequence` wins; repeats and reorder do no harm."""

    name: ClassVar[str] = "account.balance_changed"
    needs_listener: ClassVar[bool] = False

    account: AccountView
    company: Company | None
    cause: TransactionKind
    run_id: str | None = None
