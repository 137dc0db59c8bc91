"""Checks each account against its rows, which come in the order of time."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from common.mongo.client import Document
from usage_ledger.audit.causes import Causes
from usage_ledger.audit.violation import Code, Violation
from usage_ledger.domain.transaction import usage_id

GRACE = timedelta(seconds=60)
_AHEAD_MAX = 1_000


class Chain:
    """Follows the rows of one account by their sequence.

    Without `from_start`, for an audit of the last rows only, the first row seen is believed, since every
    row carries the balance before it. Rows may come a little out of order, by as much as the clocks of
    two ledgers differ: one that is ahead waits for those before it.

    `excess` is how far `available` may be below zero: a hold never takes more than there is, and what a
    settlement takes beyond its hold is its overage. What comes in pays for it first.
    """

    __slots__ = ("_ahead", "_balance", "_causes", "_from_start", "excess", "sequence", "user_id")

    sequence: int | None

    def __init__(self, user_id: str, *, from_start: bool) -> None:
        self.user_id = user_id
        self.sequence = 0 if from_start else None
        self.excess = 0
        self._from_start = from_start
        self._balance = 0
        self._causes = Causes()
        self._ahead: dict[int, Document] = {}

    def add(self, row: Document) -> Iterable[Violation]:
        """Follow a row. Raises KeyError or TypeError when it lacks a field, or has another type in it."""
        return () if self._took_usage(row) else self._add(row)

    def add_late(self, rows: Iterable[Document], account: Document) -> Iterator[Violation]:
        """Follow the rows that the account has beyond this one, some of which may have come already."""
        self._ahead = {s: row for s, row in self._ahead.items() if s > account["sequence"]}
        for row in rows:
            yield from self.add(row)

    def _took_usage(self, row: Document) -> bool:
        """Follow the row that nearly all rows are: of usage, next in turn, and right in every way."""
        sequence: int = row["sequence"]
        if row["kind"] != "usage" or self._ahead or self.sequence != sequence - 1:
            return False
        before, tokens, usage, hold_tokens = (
            row["balance_before"],
            row["tokens"],
            row["usage"],
            row["hold_tokens"],
        )
        after, overage = before + tokens, max(0, -tokens - hold_tokens)
        excess = self.excess + overage
        is_right = (
            before == self._balance
            and row["balance_after"] == after
            and -tokens == usage["input_tokens"] + usage["output_tokens"]
            and row["overage"] == overage
            and row["actor"]
            and row["reason"]
            and row["_id"] == usage_id(row["run_id"])
            and (after >= -excess or not self._from_start)
        )
        if not is_right:
            return False
        self.sequence, self._balance, self.excess = sequence, after, excess
        return True

    def _add(self, row: Document) -> Iterator[Violation]:
        sequence = row["sequence"]
        known = self.sequence
        if known is None:
            known = self.sequence = sequence - 1
            self._balance = row["balance_before"]
        if sequence == known + 1:
            yield from self._follow(row)
            while waiting := self._ahead.pop(sequence := sequence + 1, None):
                yield from self._follow(waiting)
        elif sequence > known:
            self._ahead[sequence] = row
            if len(self._ahead) > _AHEAD_MAX:
                yield from self._follow(self._ahead.pop(min(self._ahead)))
        elif self._from_start:
            yield self._violation("I2", f"there is another row {sequence}", row)

    def end(self, account: Document) -> Iterator[Violation]:
        """Compare with the account, which was read after the rows."""
        for sequence in sorted(self._ahead):
            yield from self._follow(self._ahead.pop(sequence))
        if self.sequence is None:
            return
        if self.sequence > account["sequence"]:
            what = f"row {self.sequence} is beyond the account's sequence {account['sequence']}"
            yield self._violation("I2", what)
        elif self.sequence < account["sequence"]:
            what = f"the account is at row {account['sequence']}, its rows end at {self.sequence}"
            yield self._violation("I2", what)
        if self._balance != account["balance"]:
            yield self._violation("I1", f"the balance is {account['balance']}, its rows say {self._balance}")

    def _follow(self, row: Document) -> Iterator[Violation]:
        sequence, before, tokens, kind = row["sequence"], row["balance_before"], row["tokens"], row["kind"]
        assert self.sequence is not None
        if sequence != self.sequence + 1:
            yield self._violation("I2", f"row {sequence} follows row {self.sequence}", row)
        if before != self._balance:
            yield self._violation("I2", f"row {sequence} starts from {before}, not from {self._balance}", row)
        if row["balance_after"] != before + tokens:
            yield self._violation("I2", f"row {sequence} does not add up", row)
        if not row["actor"] or not row["reason"]:
            yield self._violation("I7", "a row without actor or reason", row)
        if kind in {"usage", "correction"}:
            yield from self._check_figures(row)
        if what := self._causes.differs(row):
            yield self._violation("I9", what, row)
        self.sequence = sequence
        self._balance += tokens
        self.excess = excess_after(self.excess, row)
        if self._from_start and self._balance < -self.excess:
            what = f"row {sequence} leaves {self._balance}, of which {self.excess} are explained"
            yield self._violation("I3", what, row)

    def _check_figures(self, row: Document) -> Iterator[Violation]:
        used = row["usage"]["input_tokens"] + row["usage"]["output_tokens"]
        if row["tokens"] != -used:
            yield self._violation("I4", f"{-row['tokens']} tokens booked, {used} used", row)
        if row["kind"] == "usage" and row["overage"] != max(0, used - row["hold_tokens"]):
            yield self._violation("I4", f"overage {row['overage']} of a hold of {row['hold_tokens']}", row)

    def _violation(self, code: Code, what: str, row: Document | None = None) -> Violation:
        ids = {"account": self.user_id} | ({"row": row["_id"]} if row else {})
        return Violation(code=code, what=what, ids=ids)


def excess_after(excess: int, row: Document) -> int:
    """Say how far `available` may be below zero after a row, from how far it might be before it."""
    overage: int = row.get("overage", 0)
    tokens: int = row["tokens"]
    match row["kind"]:
        case "usage":
            return excess + overage
        case "adjustment" | "quota" | "correction":
            return max(0, excess - tokens)
        case _:
            return max(0, excess - max(0, tokens))


def check_account(account: Document) -> Iterator[Violation]:
    """Check what an account says by itself."""
    ids = {"account": account["_id"]}
    held: int = sum(hold["tokens"] for hold in account["holds"])
    if held != account["held"]:
        what = f"{account['held']} are held, the open holds say {held}"
        yield Violation(code="I1", what=what, ids=ids)
    if account["held"] < 0 or any(hold["tokens"] <= 0 for hold in account["holds"]):
        yield Violation(code="I3", what="a hold of nothing or less", ids=ids)
    if account["available"] != account["balance"] - account["held"]:
        what = f"{account['available']} are available, not balance less held"
        yield Violation(code="I3", what=what, ids=ids)


def check_hold_ages(account: Document, *, hold_ttl: timedelta, now: datetime) -> Iterator[Violation]:
    """Every hold is looked into when it expires, and none may be extended for ever."""
    holds: list[dict[str, Any]] = account["holds"]
    for hold in holds:
        ids = {"account": account["_id"], "run": hold["run_id"]}
        if hold["expires_at"] + GRACE < now:
            yield Violation(code="I8", what="the hold has expired and was not swept", ids=ids)
        elif hold["placed_at"] + 2 * hold_ttl + 2 * GRACE < now:
            yield Violation(code="I8", what="the hold is older than any run may be", ids=ids)
