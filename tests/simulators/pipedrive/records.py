"""What a company keeps in its CRM, and the one shape in which it leaves by the API."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

Source = Literal["app", "api"]
Action = Literal["create", "change", "delete"]
Entity = Literal["person", "organization"]

FIELD_TYPES = frozenset(
    {"varchar", "varchar_auto", "text", "double", "monetary", "date", "set", "enum", "user", "org"}
    | {"people", "phone", "time", "timerange", "daterange", "address"}
)
CUSTOM_FIELDS_MAX = 100


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something: a user of the company, by hand (`app`) or by a token (`api`)."""

    user_id: int
    source: Source = "app"


@dataclass(slots=True, kw_only=True)
class User:
    id: int
    name: str
    email: str
    token: str
    is_admin: bool = True
    is_active: bool = True


@dataclass(slots=True, kw_only=True)
class Field:
    """A field of persons. Custom ones have a 40-digit key that differs in every account."""

    code: str
    name: str
    type: str
    is_custom: bool = True


@dataclass(slots=True, kw_only=True)
class Record:
    """A person or an organization; times are as the API writes them."""

    id: int
    entity: Entity
    name: str
    owner_id: int
    add_time: str
    update_time: str
    org_id: int | None = None
    emails: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    custom_fields: dict[str, Any] = field(default_factory=dict[str, Any])
    is_deleted: bool = False

    def as_api(self, codes: list[str], wanted: frozenset[str] | None = None) -> dict[str, Any]:
        """Write it as API v2 does, with the custom fields `wanted` of those that exist, all if None.

        What has no value is left out where the official description says that it is never null.
        """
        shown = [code for code in codes if wanted is None or code in wanted]
        body: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "owner_id": self.owner_id,
            "add_time": self.add_time,
            "update_time": self.update_time,
            "is_deleted": self.is_deleted,
            "visible_to": 3,
            "label_ids": [],
            "custom_fields": {code: self.custom_fields.get(code) for code in shown},
        }
        if self.entity == "person":
            first, _, last = self.name.partition(" ")
            body |= {"first_name": first, "last_name": last, "emails": self.emails, "phones": []}
        if self.org_id is not None:
            body["org_id"] = self.org_id
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that happened to a record. `previous` has what changed only; it is all of a deleted one."""

    id: str
    action: Action
    entity: Entity
    entity_id: int
    at: str
    epoch_s: int
    actor: Actor
    data: dict[str, Any] | None
    previous: dict[str, Any] | None
    is_bulk: bool = False
    merged_from_id: int | None = None
    merged_to_id: int | None = None


def emails_of(*addresses: str) -> list[dict[str, Any]]:
    return [
        {"value": address, "primary": number == 0, "label": "work"}
        for number, address in enumerate(addresses)
    ]


def field_code(company_id: int, name: str) -> str:
    """Make the 40-digit key of a custom field."""
    return hashlib.sha1(f"{company_id}:{name}".encode()).hexdigest()


def field_as_api(found: Field) -> dict[str, Any]:
    return {
        "field_name": found.name,
        "field_code": found.code,
        "field_type": found.type,
        "options": None,
        "subfields": None,
        "is_custom_field": found.is_custom,
        "is_optional_response_field": False,
    }
