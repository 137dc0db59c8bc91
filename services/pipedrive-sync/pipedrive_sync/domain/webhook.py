"""Reads Webhooks v2 of Pipedrive. What a body leaves out is not guessed."""

from dataclasses import dataclass
from typing import Any, cast

import orjson

from common.integration_inbox import InboxRow
from pipedrive_sync.domain.custom_fields import FieldKeys, emails_of, text_of, webhook_value
from pipedrive_sync.domain.notice import (
    FiguresTouched,
    Ignored,
    Notice,
    PersonGone,
    QuotaNotice,
    Rejected,
    Subject,
    Version,
    not_ahead,
    read_time,
    wanted_of,
)

_VERSION = "2.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ourselves:
    """The account that our token belongs to; None while it is not known."""

    company_id: str | None = None
    user_id: str | None = None


def read_webhook(row: InboxRow, *, keys: FieldKeys, ourselves: Ourselves) -> Notice:
    """Say what a webhook means for us."""
    try:
        root = _mapping(orjson.loads(row.body))
    except orjson.JSONDecodeError:
        return Rejected(why="not JSON")
    meta = _mapping(root.get("meta"))
    company_id = str(meta.get("company_id"))
    if ourselves.company_id is not None and company_id != ourselves.company_id:
        return Rejected(why=f"from another company: {company_id[:20]}")
    if meta.get("version") != _VERSION:
        return Rejected(why=f"webhook version {str(meta.get('version'))[:10]}, not {_VERSION}")
    if meta.get("entity") != "person":
        return Ignored(why=f"about a {str(meta.get('entity'))[:20]}")
    person_id = _number(meta.get("entity_id"))
    if person_id is None:
        return Rejected(why="without the id of a person")
    reader = _Reader(row, root, person_id, keys=keys, ourselves=ourselves)
    return reader.deleted() if meta.get("action") == "delete" else reader.written()


class _Reader:
    def __init__(
        self, row: InboxRow, root: dict[str, Any], person_id: int, *, keys: FieldKeys, ourselves: Ourselves
    ) -> None:
        self._meta = meta = _mapping(root.get("meta"))
        self._data = _mapping(root.get("data"))
        self._previous = _mapping(root.get("previous"))
        self._person_id = person_id
        self._inbox_id = row.id
        self._keys = keys
        self._ourselves = ourselves
        happened_at = read_time(meta.get("timestamp")) or read_time(self._data.get("update_time"))
        at = not_ahead(happened_at or row.received_at, row.received_at)
        self._version = Version(at=at, event=row.id)

    def deleted(self) -> Notice:
        return PersonGone(
            person_id=self._person_id,
            into=_number(self._meta.get("merged_to_id")),
            version=self._version,
            actor=self._actor,
        )

    def written(self) -> Notice:
        """A change matters only when it is of the quota, or of what tells whose quota it is."""
        keys = self._keys
        fields = self._data.get("custom_fields")
        if keys.quota is None:
            return Rejected(why="the quota field is not set up")
        wanted = wanted_of(webhook_value(fields, keys.quota))
        if not self._concerns_quota():
            return self._other_change()
        if wanted.kind == "cleared" and keys.quota not in self._changed_fields:
            # Webhooks carry a reduced record: what is missing in it counts only where it was there before.
            return Ignored(why="no quota, and none was taken away")
        return QuotaNotice(
            subject=Subject(
                person_id=self._person_id,
                user_ref=text_of(webhook_value(fields, keys.user_id)),
                emails=emails_of(self._data.get("emails")),
                name=text_of(self._data.get("name")),
            ),
            wanted=wanted,
            version=self._version,
            source="webhook",
            actor=self._actor,
            reason=f"quota of person {self._person_id} set in Pipedrive",
            inbox_id=self._inbox_id,
        )

    def _concerns_quota(self) -> bool:
        if self._meta.get("action") == "create" or "merged_from_id" in self._meta:
            return True
        # Present with null means: it was empty before. So presence counts, not the value.
        changed = self._changed_fields
        return self._keys.quota in changed or self._keys.user_id in changed or "emails" in self._previous

    def _other_change(self) -> Notice:
        if not self._keys.figures & self._changed_fields.keys():
            return Ignored(why="the quota did not change")
        is_ours = self._meta.get("change_source") == "api" and self._user_id == self._ourselves.user_id
        return Ignored(why="our own echo") if is_ours else FiguresTouched(person_id=self._person_id)

    @property
    def _changed_fields(self) -> dict[str, Any]:
        return _mapping(self._previous.get("custom_fields"))

    @property
    def _user_id(self) -> str:
        return str(self._meta.get("user_id"))[:40]

    @property
    def _actor(self) -> str:
        return f"pipedrive:user:{self._user_id}"


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _mapping(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
