"""A company's data, and what happens to it."""

import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from common.clock import Clock
from simulators.pipedrive.clock import api_time, event_time
from simulators.pipedrive.records import (
    Action,
    Actor,
    Change,
    Entity,
    Field,
    Record,
    User,
    emails_of,
    field_code,
)

_STANDARD_FIELDS = (
    ("name", "Name", "varchar"),
    ("email", "Email", "varchar"),
    ("org_id", "Organization", "org"),
)


class Company:
    """Keeps records and fields; tells each change to `on_change`, in the order in which they happen."""

    def __init__(self, clock: Clock, *, company_id: int = 8_087_566, domain: str = "acme") -> None:
        self.id = company_id
        self.domain = domain
        self.users: dict[int, User] = {}
        self.fields: dict[str, Field] = {}
        self.records: dict[Entity, dict[int, Record]] = {"person": {}, "organization": {}}
        self.on_change: Callable[[Change], None] = lambda _change: None
        self._clock = clock
        self._last_id = 0
        for code, name, kind in _STANDARD_FIELDS:
            self.fields[code] = Field(code=code, name=name, type=kind, is_custom=False)

    @property
    def persons(self) -> dict[int, Record]:
        return self.records["person"]

    @property
    def custom_codes(self) -> list[str]:
        return [code for code, found in self.fields.items() if found.is_custom]

    def add_user(self, name: str, *, token: str, is_admin: bool = True) -> User:
        user = User(
            id=12_000_000 + len(self.users) + 1,
            name=name,
            email=f"{name.split(maxsplit=1)[0].lower()}@{self.domain}.example",
            token=token,
            is_admin=is_admin,
        )
        self.users[user.id] = user
        return user

    def user_of(self, token: str) -> User | None:
        return next((user for user in self.users.values() if user.token == token and user.is_active), None)

    def add_field(self, name: str, kind: str) -> Field:
        found = Field(code=field_code(self.id, f"{name}:{len(self.fields)}"), name=name, type=kind)
        self.fields[found.code] = found
        return found

    def delete_field(self, code: str) -> Field:
        """Delete a custom field with all its values. Raises KeyError."""
        found = self.fields.pop(code)
        for record in self.persons.values():
            record.custom_fields.pop(code, None)
        return found

    def field_named(self, name: str) -> Field:
        return next(found for found in self.fields.values() if found.name == name)

    def create(self, entity: Entity, name: str, *, by: Actor, **values: Any) -> Record:
        """Make a record. `values` are fields of Record; `email` is short for one address."""
        self._last_id += 1
        now = api_time(self._clock.now())
        email = values.pop("email", None)
        if email is not None:
            values["emails"] = emails_of(email)
        record = Record(
            id=self._last_id,
            entity=entity,
            name=name,
            owner_id=by.user_id,
            add_time=now,
            update_time=now,
            **values,
        )
        self.records[entity][record.id] = record
        self._tell("create", record, by, data=self._shown(record), previous=None)
        return record

    def restore(self, entity: Entity, record: Record) -> None:
        """Take up a record of an earlier time; nobody is told."""
        self.records[entity][record.id] = record
        self._last_id = max(self._last_id, record.id)

    def change(
        self,
        record: Record,
        values: dict[str, Any],
        *,
        by: Actor,
        is_bulk: bool = False,
        merged_from_id: int | None = None,
    ) -> None:
        """Set fields as PATCH does: only those listed, custom fields one by one. Nothing new, no event."""
        before = self._shown(record)
        for name, value in values.items():
            if name == "custom_fields":
                record.custom_fields |= {code: number for code, number in value.items() if number is not None}
                for code in [code for code, number in value.items() if number is None]:
                    record.custom_fields.pop(code, None)
            else:
                setattr(record, name, value)
        previous = _difference(before, self._shown(record))
        if not previous and merged_from_id is None:
            return
        record.update_time = api_time(self._clock.now())
        previous |= _difference({"update_time": before["update_time"]}, {"update_time": record.update_time})
        data = self._shown(record)
        self._tell(
            "change", record, by, data=data, previous=previous, is_bulk=is_bulk, merged_from_id=merged_from_id
        )

    def delete(self, record: Record, *, by: Actor, merged_to_id: int | None = None) -> None:
        last = self._shown(record)
        record.is_deleted = True
        record.update_time = api_time(self._clock.now())
        self._tell("delete", record, by, data=None, previous=last, merged_to_id=merged_to_id)

    def merge(self, loser: Record, winner: Record, *, by: Actor) -> None:
        """Merge two records; the winner keeps its values and takes what it does not have."""
        self.delete(loser, by=by, merged_to_id=winner.id)
        taken = {
            code: value for code, value in loser.custom_fields.items() if code not in winner.custom_fields
        }
        known = {email["value"] for email in winner.emails}
        emails = [*winner.emails, *(dict(e, primary=False) for e in loser.emails if e["value"] not in known)]
        self.change(winner, {"custom_fields": taken, "emails": emails}, by=by, merged_from_id=loser.id)

    def set_field(
        self, ids: Sequence[int], code: str, value: Any, *, by: Actor, is_bulk: bool = False
    ) -> None:
        """Edit one custom field of persons, as in the list view when `is_bulk`."""
        for person_id in ids:
            self.change(self.persons[person_id], {"custom_fields": {code: value}}, by=by, is_bulk=is_bulk)

    def _shown(self, record: Record) -> dict[str, Any]:
        return deepcopy(record.as_api(self.custom_codes))

    def _tell(self, action: Action, record: Record, by: Actor, **fields: Any) -> None:
        now = self._clock.now()
        self.on_change(
            Change(
                id=str(uuid.uuid4()),  # noqa: TID251 - the real ones are of this kind
                action=action,
                entity=record.entity,
                entity_id=record.id,
                at=event_time(now),
                epoch_s=int(now.timestamp()),
                actor=by,
                **fields,
            )
        )


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the old values of what differs; custom fields one by one, there even when they were empty."""
    changed = {
        name: before[name] for name in before if name != "custom_fields" and before[name] != after[name]
    }
    old, new = before.get("custom_fields", {}), after.get("custom_fields", {})
    custom = {code: old.get(code) for code in new if old.get(code) != new[code]}
    return changed | ({"custom_fields": custom} if custom else {})
