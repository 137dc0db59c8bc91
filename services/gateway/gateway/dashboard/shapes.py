"""What the dashboard shows. Tokens are integers, times RFC 3339 in UTC; averages of nothing are null."""

from pydantic import BaseModel, ConfigDict

from common.events.envelope import Company
from common.events.ledger import TransactionKind


class Shape(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)


class Tokens(Shape):
    """Cached tokens are part of input, reasoning tokens of output; `total_tokens` is input and output."""

    total_tokens: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int


class Usage(Tokens):
    """`estimated_runs` are those whose provider never gave a figure."""

    runs: int
    estimated_runs: int


class UsageOfMany(Usage):
    active_users: int


class Averages(Shape):
    tokens_per_run: float | None
    tokens_per_active_user: float | None
    runs_per_active_user: float | None


class Previous(Shape):
    """The time of equal length before."""

    date_from: str
    date_to: str
    totals: UsageOfMany
    averages: Averages


class DayUsage(UsageOfMany):
    day: str


class MonthUsage(UsageOfMany):
    month: str


class CompanyUsage(UsageOfMany):
    """`company` is null for users without one. `rest` is how many companies the row stands for, else 0."""

    company: Company | None
    rest: int


class UserUsage(Usage):
    """`rest` is how many users the last row stands for, which then has no `user_id`; else 0."""

    user_id: str | None
    name: str | None
    email: str | None
    company: Company | None
    rest: int


class ModelUsage(Usage):
    model: str


class UsageAnswer(Shape):
    """Each breakdown sums to `totals`. `date_to` is the first moment that is not in the range."""

    date_from: str
    date_to: str
    tz: str
    totals: UsageOfMany
    averages: Averages
    previous: Previous
    by_day: list[DayUsage]
    by_month: list[MonthUsage]
    by_company: list[CompanyUsage]
    by_user: list[UserUsage]
    by_model: list[ModelUsage]


class TransactionShape(Shape):
    """One row of the ledger; what only some kinds have is absent from the others."""

    id: str
    user_id: str
    user_name: str | None
    company: Company | None
    kind: TransactionKind
    tokens: int
    balance_before: int
    balance_after: int
    run_id: str | None = None
    usage: Tokens | None = None
    model: str | None = None
    estimated: bool | None = None
    actor: str
    reason: str
    at: str


class KindShape(Shape):
    rows: int
    tokens: int


class Aggregate(Shape):
    """Of all rows that the filter finds, not of the page. `tokens` is signed; `usage` is of its runs."""

    rows: int
    tokens: int
    by_kind: dict[TransactionKind, KindShape]
    usage: Usage


class TransactionPage(Shape):
    items: list[TransactionShape]
    total: int
    next_cursor: str | None
    aggregate: Aggregate


class UserShape(Shape):
    id: str
    name: str | None
    email: str | None
    company: Company | None
    token_balance: int
    token_held: int
    token_available: int
    token_grant: int
    quota: int | None
    created_at: str
    last_active_at: str


class UserPage(Shape):
    items: list[UserShape]
    total: int
    next_cursor: str | None


class UserDetail(UserShape):
    transactions: list[TransactionShape]


class FlagShape(Shape):
    """A flagged exchange. Both texts are null once its thread is deleted, and cut after some length."""

    message_id: str
    thread_id: str
    run_id: str
    user_id: str
    user_name: str | None
    reasons: list[str]
    note: str | None
    at: str
    question: str | None
    answer: str | None


class FlagPage(Shape):
    items: list[FlagShape]
    next_cursor: str | None
