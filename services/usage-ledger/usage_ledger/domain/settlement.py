"""Settlement: a finished run becomes one row, exactly once, whatever comes twice or late.

The hold of the run is closed and what was really used is booked in full. `overage` is what went beyond
the hold. A run without tokens has a row of 0, so that every run can be seen to be settled. A run whose
hold is gone (expired, or lost) is booked all the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from common.errors import Malformed
from common.events.envelope import Company, TokenUsage
from usage_ledger.domain.account import (
    TOKENS_MAX,
    Account,
    Posting,
    Profile,
    Terms,
    open_account,
    post,
    without_hold,
)
from usage_ledger.domain.transaction import Transaction, correction_id, usage_id


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """What a run used, as its worker reports it, or as the sweeper reads or estimates it.

    `attempt` is the fence of the worker that ended it. `provisional` marks the sweeper's estimate for a
    run that nobody finished: should its worker come back after all, the true figure is booked on top as
    a correction; one of 0 tokens says that the estimate was right, so that it counts as one no more.
    """

    run_id: str
    thread_id: str
    user_id: str
    company: Company | None
    usage: TokenUsage
    estimated: bool
    model: str
    assistant: str
    finished_at: datetime
    actor: str
    reason: str
    provisional: bool = False
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the ledger has of a run: the figures of its `usage` row, and whether they may be corrected."""

    usage: TokenUsage
    estimated: bool
    provisional: bool
    corrected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to store for a batch. `booked` are run ids with a new row, `differing` were settled otherwise."""

    postings: tuple[Posting, ...]
    booked: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()


def settle(
    runs: Iterable[FinishedRun],
    *,
    accounts: Mapping[str, Account],
    settled: Mapping[str, Settled],
    terms: Terms,
    at: datetime,
) -> Decision:
    """Decide on a batch: `accounts` by user and `settled` by run are what is stored now.

    Repeats, within the batch or of what is settled, book nothing; they still close a hold that is open.
    Raises Malformed for figures that no run can have and no database can add.
    """
    known = dict(settled)
    books: dict[str, _Book] = {}
    booked: list[str] = []
    differing: list[str] = []
    for run in runs:
        _check(run)
        book = books.get(run.user_id) or _open_book(run, accounts.get(run.user_id), terms, at)
        books[run.user_id] = book
        before = known.get(run.run_id)
        if before is None:
            book.add(_book_usage(book.account, run, at))
            known[run.run_id] = Settled(
                usage=run.usage, estimated=run.estimated, provisional=run.provisional, corrected=False
            )
            booked.append(run.run_id)
            continue
        book.account = without_hold(book.account, run.run_id)
        if before.corrected or (before.usage == run.usage and before.estimated == run.estimated):
            continue
        if before.provisional and not run.provisional:
            book.add(_book_correction(book.account, run, before, at))
            known[run.run_id] = replace(before, corrected=True)
            booked.append(run.run_id)
        else:
            differing.append(run.run_id)
    postings = tuple(book.posting() for book in books.values())
    return Decision(
        postings=tuple(posting for posting in postings if posting.rows or _closes_a_hold(posting)),
        booked=tuple(booked),
        differing=tuple(differing),
    )


def _check(run: FinishedRun) -> None:
    usage = run.usage
    # Each of them is added up in the rollups.
    if max(usage.total_tokens, usage.cached_tokens, usage.reasoning_tokens) > TOKENS_MAX:
        raise Malformed(f"run {run.run_id} reports more tokens than there are")


class _Book:
    """One account while its batch is being decided."""

    def __init__(self, before: Account | None, account: Account, rows: tuple[Transaction, ...]) -> None:
        self._before = before
        self._rows = list(rows)
        self.account = account

    def add(self, entry: tuple[Account, Transaction]) -> None:
        self.account, row = entry
        self._rows.append(row)

    def posting(self) -> Posting:
        return Posting(before=self._before, after=self.account, rows=tuple(self._rows))


def _open_book(run: FinishedRun, account: Account | None, terms: Terms, at: datetime) -> _Book:
    if account is not None:
        return _Book(account, account, ())
    # No run exists without a hold, so the account was lost; its usage must not be.
    profile = Profile(user_id=run.user_id, company=run.company)
    opening = open_account(profile, terms, at=at, reason="the account was missing when a run was settled")
    return _Book(None, opening.after, opening.rows)


def _closes_a_hold(posting: Posting) -> bool:
    return posting.before is not None and posting.before.holds != posting.after.holds


def _book_usage(account: Account, run: FinishedRun, at: datetime) -> tuple[Account, Transaction]:
    hold = account.hold_of(run.run_id)
    hold_tokens = hold.tokens if hold else 0
    after, row = post(
        without_hold(account, run.run_id),
        row_id=usage_id(run.run_id),
        kind="usage",
        tokens=-run.usage.total_tokens,
        actor=run.actor,
        reason=run.reason,
        at=at,
        details={
            **_run_details(run),
            "usage": run.usage.model_dump(),
            "estimated": run.estimated,
            "provisional": run.provisional,
            "hold_tokens": hold_tokens,
            "overage": max(0, run.usage.total_tokens - hold_tokens),
        },
    )
    return after, replace(row, company=run.company)


def _book_correction(
    account: Account, run: FinishedRun, before: Settled, at: datetime
) -> tuple[Account, Transaction]:
    estimate = before.usage.model_dump()
    difference = {name: value - estimate[name] for name, value in run.usage.model_dump().items()}
    after, row = post(
        account,
        row_id=correction_id(run.run_id),
        kind="correction",
        tokens=before.usage.total_tokens - run.usage.total_tokens,
        actor=run.actor,
        reason=f"replaces an estimate: {run.reason}",
        at=at,
        details={**_run_details(run), "usage": difference, "estimated": run.estimated},
    )
    return after, replace(row, company=run.company)


def _run_details(run: FinishedRun) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "thread_id": run.thread_id,
        "model": run.model,
        "assistant": run.assistant,
        "finished_at": run.finished_at,
        "attempt": run.attempt,
    }
