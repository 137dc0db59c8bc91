"""What the gateway stores: threads, and the messages that users sent.

The assistant's message is no record of its own: it is the run (collection `runs`, written by the worker).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

TITLE_CHARACTERS_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A conversation of one user. `title` is empty until the first message names it."""

    id: str
    user_id: str
    title: str
    created_at: datetime
    updated_at: datetime
    last_run_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A user's complaint or praise about one message of the exchange: their own, or the answer to it."""

    message_id: str
    reasons: tuple[str, ...]
    note: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in its thread a message is asked: instead of one, or behind one. At the end if unset."""

    replaces: str | None = None
    follows: str | None = None


AT_THE_END = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessage:
    """What a user sent. `run_id` is the run that answers it; until `claim_until` a worker may begin it.

    `follows` is the message behind which it was asked, None at the beginning of a thread. Two messages that
    follow the same one are versions of each other: what was asked again stays, and is a branch of its own.
    `place` is what the client named, by which the same message is known when it comes again.
    """

    id: str
    thread_id: str
    user_id: str
    text: str
    run_id: str
    client_message_id: str | None
    follows: str | None
    created_at: datetime
    claim_until: datetime
    place: Place = AT_THE_END
    cancel_requested_at: datetime | None = None
    flag: Flag | None = None


def title_of(text: str) -> str:
    """Name a thread after its first message: one line, cut at a word where there is one."""
    line = " ".join(text.split())
    if len(line) <= TITLE_CHARACTERS_MAX:
        return line
    cut = line[: TITLE_CHARACTERS_MAX - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[TITLE_CHARACTERS_MAX // 2 :] else cut) + "…"


def thread_of(row: Mapping[str, Any]) -> Thread:
    return Thread(
        id=row["_id"],
        user_id=row["user_id"],
        title=row["title"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_run_id=row["last_run_id"],
    )


def message_of(row: Mapping[str, Any]) -> UserMessage:
    flag = row["flag"]
    return UserMessage(
        id=row["_id"],
        thread_id=row["thread_id"],
        user_id=row["user_id"],
        text=row["text"],
        run_id=row["run_id"],
        client_message_id=row["client_message_id"],
        follows=row.get("follows"),
        created_at=row["created_at"],
        claim_until=row["claim_until"],
        place=Place(**row.get("place", {})),
        cancel_requested_at=row["cancel_requested_at"],
        flag=None if flag is None else flag_of(flag),
    )


def flag_of(row: Mapping[str, Any]) -> Flag:
    return Flag(message_id=row["message_id"], reasons=tuple(row["reasons"]), note=row["note"], at=row["at"])


def message_row(message: UserMessage) -> dict[str, Any]:
    return {
        "_id": message.id,
        "thread_id": message.thread_id,
        "user_id": message.user_id,
        "text": message.text,
        "run_id": message.run_id,
        "client_message_id": message.client_message_id,
        "follows": message.follows,
        "created_at": message.created_at,
        "claim_until": message.claim_until,
        "place": {"replaces": message.place.replaces, "follows": message.place.follows},
        "asked_at": message.created_at,
        "cancel_requested_at": message.cancel_requested_at,
        "flag": None if message.flag is None else flag_row(message.flag),
    }


def flag_row(flag: Flag) -> dict[str, Any]:
    return {"message_id": flag.message_id, "reasons": list(flag.reasons), "note": flag.note, "at": flag.at}
