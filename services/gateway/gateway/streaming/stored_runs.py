"""Runs as the worker stores them: the answer when the stream in Redis is gone, and the owner's check."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from common.mongo.client import Database

ACTIVE = "active"
_CLOCKS_DIFFER = timedelta(seconds=30)

_FIELDS = {
    "thread_id": 1,
    "message_id": 1,
    "state": 1,
    "text": 1,
    "last_sequence": 1,
    "usage": 1,
    "usage_source": 1,
    "error": 1,
    "files": 1,
    "annotations": 1,
}
_WITHDRAWN = "withdrawn"
"""The error of a run whose message the gateway had taken back before a worker read it."""
_LAST_FIELDS = {"state": 1, "context_tokens": 1, "message_id": 1, "error.code": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """What is stored of a run. While it is active, `text` runs up to `last_sequence` at least."""

    id: str
    thread_id: str
    message_id: str
    state: str
    text: str
    last_sequence: int
    usage: dict[str, Any] | None
    usage_source: str | None
    error: dict[str, Any] | None
    files: list[dict[str, Any]]
    annotations: list[dict[str, Any]]

    @property
    def is_terminal(self) -> bool:
        return self.state != ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """What the next message of a thread has to know. `context_tokens`: the whole conversation so far."""

    message_id: str
    is_active: bool
    is_withdrawn: bool
    context_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A user's balance as it will be once the ledger has booked all runs that have ended.

    `token_sequence` is the number that the account's last row will have by then, if no other comes between.
    """

    token_balance: int
    token_sequence: int


class StoredRuns:
    """Reads `runs`, and the message behind a run that no worker has claimed."""

    def __init__(self, db: Database) -> None:
        self._runs = db["runs"]
        self._messages = db["messages"]
        self._accounts = db["accounts"]

    async def find(self, run_id: str, user_id: str) -> StoredRun | None:
        row = await self._runs.find_one({"_id": run_id, "user_id": user_id}, _FIELDS)
        return None if row is None else _run_of(row)

    async def last_run(self, run_id: str, user_id: str) -> LastRun | None:
        row = await self._runs.find_one({"_id": run_id, "user_id": user_id}, _LAST_FIELDS)
        return None if row is None else _last_run_of(row)

    async def newest_of_thread(self, thread_id: str, user_id: str) -> LastRun | None:
        """Return the thread's newest run that has a message."""
        row = await self._runs.find_one(
            {"thread_id": thread_id, "user_id": user_id, "error.code": {"$ne": _WITHDRAWN}},
            _LAST_FIELDS,
            sort=[("created_at", -1)],
        )
        return None if row is None else _last_run_of(row)

    async def answering(self, message_id: str, thread_id: str, user_id: str) -> LastRun | None:
        row = await self._runs.find_one(
            {"thread_id": thread_id, "user_id": user_id, "message_id": message_id}, _LAST_FIELDS
        )
        return None if row is None else _last_run_of(row)

    async def may_start(self, run_id: str, user_id: str, *, now: datetime) -> bool:
        """Tell whether a run that is not stored may still be claimed by a worker, whose clock may be late."""
        message = await self._messages.find_one({"run_id": run_id, "user_id": user_id}, {"claim_until": 1})
        return message is not None and message["claim_until"] + _CLOCKS_DIFFER > now

    async def forecast_of(self, user_id: str) -> Forecast | None:
        """Return the user's balance to come.

        A hold stands until its run is booked, so what ended runs with a hold used is still to come off.
        """
        fields = {"balance": 1, "sequence": 1, "holds.run_id": 1}
        account = await self._accounts.find_one({"_id": user_id}, fields)
        if account is None:
            return None
        held = [hold["run_id"] for hold in account["holds"]]
        ended = self._runs.find(
            {"_id": {"$in": held}, "user_id": user_id, "state": {"$ne": ACTIVE}}, {"usage.total_tokens": 1}
        )
        used = [run["usage"]["total_tokens"] async for run in ended]
        return Forecast(
            token_balance=account["balance"] - sum(used),
            # Each has a row of its own, one that used nothing too.
            token_sequence=account["sequence"] + len(used),
        )


def _run_of(row: Mapping[str, Any]) -> StoredRun:
    return StoredRun(
        id=row["_id"],
        thread_id=row["thread_id"],
        message_id=row["message_id"],
        state=row["state"],
        text=row["text"],
        last_sequence=row["last_sequence"],
        usage=row["usage"],
        usage_source=row["usage_source"],
        error=row["error"],
        files=row["files"],
        annotations=row["annotations"],
    )


def _last_run_of(row: Mapping[str, Any]) -> LastRun:
    error: Mapping[str, Any] = row.get("error") or {}
    return LastRun(
        message_id=row["message_id"],
        is_active=row["state"] == ACTIVE,
        is_withdrawn=error.get("code") == _WITHDRAWN,
        context_tokens=row["context_tokens"],
    )
