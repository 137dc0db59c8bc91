"""The assistant's messages: what the worker stored about the runs that answer a user's messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.mongo.client import Database
from gateway.streaming.replay import NOT_STARTED
from gateway.threads.records import UserMessage

ACTIVE = "active"

_FIELDS = {
    "state": 1,
    "text": 1,
    "usage": 1,
    "usage_source": 1,
    "error": 1,
    "files.id": 1,
    "files.name": 1,
    "annotations": 1,
    "created_at": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. While `status` is active the text is empty: the run's stream has all of it."""

    status: str
    text: str
    created_at: datetime
    usage: Mapping[str, int] | None = None
    estimated: bool = False
    error: Mapping[str, Any] | None = None
    files: Sequence[Mapping[str, Any]] = ()
    annotations: Sequence[Mapping[str, Any]] = ()


class AnswerReader:
    """Reads `runs`; the worker writes it."""

    def __init__(self, db: Database) -> None:
        self._runs = db["runs"]

    async def answers_to(self, messages: Sequence[UserMessage], *, now: datetime) -> dict[str, Answer]:
        """Return the answers by run id, one for every message: all messages are the same user's."""
        if not messages:
            return {}
        query = {"_id": {"$in": [message.run_id for message in messages]}, "user_id": messages[0].user_id}
        stored = {row["_id"]: _answer_of(row) async for row in self._runs.find(query, _FIELDS)}
        return {message.run_id: stored.get(message.run_id) or unclaimed(message, now) for message in messages}


def unclaimed(message: UserMessage, now: datetime) -> Answer:
    """Describe the answer of a run that no worker has taken: still to come, or never to come."""
    if message.claim_until > now:
        return Answer(status=ACTIVE, text="", created_at=message.created_at)
    return Answer(status="failed", text="", created_at=message.created_at, error=NOT_STARTED)


def _answer_of(row: Mapping[str, Any]) -> Answer:
    is_active = row["state"] == ACTIVE
    return Answer(
        status=row["state"],
        text="" if is_active else row["text"],
        created_at=row["created_at"],
        usage=row["usage"],
        estimated=row["usage_source"] == "estimate",
        error=row["error"],
        files=() if is_active else row["files"],
        annotations=() if is_active else row["annotations"],
    )
