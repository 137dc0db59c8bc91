"""A person as we read it in Pipedrive. What we read is the truth; webhooks only hint at it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from common.clock import rfc3339
from pipedrive_sync.domain.custom_fields import FieldKeys, api_value, emails_of, text_of
from pipedrive_sync.domain.notice import QuotaNotice, Subject, Version, Wanted, read_time, wanted_of

SETTLED_AFTER = timedelta(seconds=5)
_REST_OF_SECOND = timedelta(milliseconds=999)
_ID_MAX = 2**63 - 1
"""What the database can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRecord:
    """`version` orders the reading among webhooks, see `person_record`. `quota_key` is the field's, then."""

    person_id: int
    name: str | None
    user_ref: str | None
    emails: tuple[str, ...]
    wanted: Wanted
    quota_key: str | None
    used: Any
    balance: Any
    updated_at: datetime
    version: Version

    def notice(
        self, *, actor: str, reason: str, inbox_id: str | None = None, asked_because: Version | None = None
    ) -> QuotaNotice:
        """Say what the record says, as a notification would.

        `asked_because` is the version of the notification that made us read. If the record was changed in
        that second or later, the reading includes what was notified, and is not older than it.
        """
        version = self.version
        if asked_because is not None and asked_because.at.replace(microsecond=0) <= self.updated_at:
            version = Version(at=max(version.at, asked_because.at), event=version.event)
        return QuotaNotice(
            subject=Subject(
                person_id=self.person_id, user_ref=self.user_ref, emails=self.emails, name=self.name
            ),
            wanted=self.wanted,
            version=version,
            source="reading",
            actor=actor,
            reason=reason,
            inbox_id=inbox_id,
            read_by=self.quota_key,
        )


def person_record(item: dict[str, Any], *, keys: FieldKeys, read_at: datetime) -> PersonRecord:
    """Read one item of API v2. Raises KeyError, TypeError or ValueError for what is no person.

    A reading is newer than all that happened before it, also than a webhook that nobody sent from
    Pipedrive. What happened in the last seconds may not be in it yet, and the clocks are not the same, so
    it counts from a little earlier; but never from before the change that it shows. `update_time` has whole
    seconds, webhooks have milliseconds: a second that is over counts with its end.
    """
    updated_at = read_time(item["update_time"])
    if updated_at is None:
        raise ValueError("update_time")
    fields = item.get("custom_fields")
    is_settled = read_at - updated_at >= SETTLED_AFTER
    at = max(updated_at + _REST_OF_SECOND, read_at - SETTLED_AFTER) if is_settled else updated_at
    person_id = int(item["id"])
    if not 0 < person_id <= _ID_MAX:
        raise ValueError("id")
    return PersonRecord(
        person_id=person_id,
        name=text_of(item.get("name")),
        user_ref=text_of(api_value(fields, keys.user_id)),
        emails=emails_of(item.get("emails")),
        wanted=wanted_of(api_value(fields, keys.quota)),
        quota_key=keys.quota,
        used=api_value(fields, keys.used),
        balance=api_value(fields, keys.balance),
        updated_at=updated_at,
        version=Version(at=at, event=f"read:{person_id}:{rfc3339(read_at)}"),
    )


def gone_version(person_id: int, read_at: datetime) -> Version:
    """Order the finding that a person is no longer there."""
    return Version(at=read_at - SETTLED_AFTER, event=f"gone:{person_id}:{rfc3339(read_at)}")
