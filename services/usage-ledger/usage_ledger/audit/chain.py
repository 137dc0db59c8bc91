"""Checks one account against its rows, one row at a time."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from common.mongo.client import Document
from usage_ledger.audit.violation import Code, Violation

_GRACE = timedelta(seconds=60)


class Chain:
    """Follows the rows of one account in the order of their sequence.

    `from_start` is False for an audit of the last rows only: the first row seen is then believed, since
    every row carries the balance before it.
    """

    def __init__(self, account: Document, *, from_start: bool) -> None:
        self._account = account
        self._sequence: int | None = 0 if from_start else None
        self._balance: int | None = 0 if from_start else None

    def follow(self, row: Document) -> Iterator[Violation]:
        sequence = row["sequence"]
        if self._sequence is not None and sequence != self._sequence + 1:
            yield self._violation("I2", f"row {sequence} follows row {self._sequence}", row)
        if self._balance is not None and row["balance_before"] != self._balance:
            what = f"row {sequence} starts from {row['balance_before']}, not from {self._balance}"
            yield self._violation("I2", what, row)
        if row["balance_after"] != row["balance_before"] + row["tokens"]:
            yield self._violation("I2", f"row {sequence} does not add up", row)
        if not row["actor"] or not row["reason"]:
            yield self._violation("I7", "a row without actor or reason", row)
        yield from self._check_figures(row)
        self._sequence = sequence
        self._balance = (row["balance_before"] if self._balance is None else self._balance) + row["tokens"]

    def end(self) -> Iterator[Violation]:
        account = self._account
        if self._sequence is not None and self._sequence != account["sequence"]:
            what = f"the account is at row {account['sequence']}, its rows end at {self._sequence}"
            yield self._violation("I2", what)
        if self._balance is not None and self._balance != account["balance"]:
            yield self._violation("I1", f"the balance is {account['balance']}, its rows say {self._balance}")
        held = sum(hold["tokens"] for hold in account["holds"])
        if held != account["held"]:
            yield self._violation("I1", f"{account['held']} are held, the open holds say {held}")
        if account["available"] != account["balance"] - account["held"]:
            yield self._violation("I1", f"{account['available']} are available, not balance less held")

    def _check_figures(self, row: Document) -> Iterator[Violation]:
        if row["kind"] not in {"usage", "correction"}:
            return
        used = row["usage"]["input_tokens"] + row["usage"]["output_tokens"]
        if row["tokens"] != -used:
            yield self._violation("I4", f"{-row['tokens']} tokens booked, {used} used", row)
        if row["kind"] == "usage" and row["overage"] != max(0, used - row["hold_tokens"]):
            yield self._violation("I4", f"overage {row['overage']} of a hold of {row['hold_tokens']}", row)

    def _violation(self, code: Code, what: str, row: Document | None = None) -> Violation:
        ids = {"account": self._account["_id"]} | ({"row": row["_id"]} if row else {})
        return Violation(code=code, what=what, ids=ids)


def check_hold_ages(account: Document, *, hold_ttl: timedelta, now: datetime) -> Iterator[Violation]:
    """Every hold is looked into when it expires, and none may be extended for ever."""
    for hold in account["holds"]:
        ids = {"account": account["_id"], "run": hold["run_id"]}
        if hold["expires_at"] + _GRACE < now:
            yield Violation(code="I8", what="the hold has expired and was not swept", ids=ids)
        elif hold["placed_at"] + 2 * hold_ttl + 2 * _GRACE < now:
            yield Violation(code="I8", what="the hold is older than any run may be", ids=ids)
