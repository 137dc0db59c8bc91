"""Whether a row is what its cause asked for.

A row's id is made from its cause and unique, so a cause that is booked twice shows as a row whose id is
not the one that its content makes, or that says something else than was asked for.
"""

from datetime import datetime
from typing import Any

from common.mongo.client import Document
from usage_ledger.domain.transaction import (
    adjustment_id,
    correction_id,
    grant_id,
    opening_id,
    quota_id,
    usage_id,
)


class Causes:
    """The causes of one account's rows, in the order of their sequence."""

    __slots__ = ("_quota",)

    def __init__(self) -> None:
        self._quota: tuple[datetime, str, int] | None = None

    def differs(self, row: Document) -> str | None:
        """Say in which way a row is not what its cause asked for, if it is not."""
        if row["_id"] != _id_of(row):
            return "the row's id is not made from its cause"
        match row["kind"]:
            case "adjustment":
                return _adjustment_differs(row)
            case "quota":
                return self._quota_differs(row)
            case _:
                return None

    def _quota_differs(self, row: Document) -> str | None:
        known, after = self._quota, row["quota_after"]
        self._quota = (row["effective_at"], row["source_event"], after)
        if known is None:
            return None
        if self._quota[:2] <= known[:2]:
            return "a quota that was not newer was booked"
        if row["quota_before"] != known[2] or row["tokens"] != after - known[2]:
            return f"the quota was {known[2]} and is {after}, booked are {row['tokens']} tokens"
        return None


def _adjustment_differs(row: Document) -> str | None:
    requested: dict[str, Any] = row["requested"]
    balance, grant = requested["token_balance"], requested["token_grant"]
    if row["tokens"] != (0 if balance is None else balance - row["balance_before"]):
        return "the balance was adjusted to something else than was asked for"
    if row["grant_after"] != (row["grant_before"] if grant is None else grant):
        return "the grant was adjusted to something else than was asked for"
    return None


def _id_of(row: Document) -> str:
    match row["kind"]:
        case "usage":
            return usage_id(row["run_id"])
        case "correction":
            return correction_id(row["run_id"])
        case "grant":
            return grant_id(row["user_id"], row["sequence"])
        case "quota":
            return quota_id(row["user_id"], row["source_event"])
        case "opening":
            return opening_id(row["user_id"])
        case _:
            # An adjustment carries its request only in its id.
            stored: str = row["_id"]
            return stored if stored.startswith(adjustment_id("")) else ""
