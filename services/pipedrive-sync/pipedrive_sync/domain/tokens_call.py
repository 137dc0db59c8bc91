"""Reads a call of /int/tokens: what a Pipedrive automation or the main application sends."""

from typing import Any, cast

import orjson

from common.integration_inbox import InboxRow
from pipedrive_sync.domain.custom_fields import email_key, text_of
from pipedrive_sync.domain.notice import (
    Notice,
    QuotaNotice,
    Rejected,
    Subject,
    Version,
    not_ahead,
    read_time,
    wanted_of,
)

_PERSON_PREFIX = "pd:"


def read_tokens_call(row: InboxRow) -> Notice:
    """Say what a call means. Of the body `{"int": {…}}` all is optional: who it is, and `updated_at`.

    What should be in `int` may also stand at the top: some senders cannot nest.
    """
    try:
        root = _mapping(orjson.loads(row.body or "{}"))
    except orjson.JSONDecodeError:
        root = {}
    details = _mapping(root.get("int", root))
    user_ref = row.user_ref or ""
    person_id = _number(details.get("person_id"))
    if user_ref.startswith(_PERSON_PREFIX):
        named = _number(user_ref.removeprefix(_PERSON_PREFIX))
        if named is None or (person_id is not None and person_id != named):
            return Rejected(why="the id names no person, or another one than the body")
        person_id, user_ref = named, ""
    email = text_of(details.get("email"))
    said_at = read_time(details.get("updated_at"))
    return QuotaNotice(
        subject=Subject(
            person_id=person_id,
            user_ref=user_ref or None,
            emails=(email_key(email),) if email else (),
            name=text_of(details.get("name")),
        ),
        wanted=wanted_of(row.quota_text),
        version=Version(at=not_ahead(said_at or row.received_at, row.received_at), event=row.id),
        source="tokens",
        actor=row.actor,
        reason="quota set by /int/tokens",
        inbox_id=row.id,
    )


def _number(value: Any) -> int | None:
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _mapping(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
