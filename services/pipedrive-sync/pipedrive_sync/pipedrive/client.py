"""The calls that we make. Persons and their fields by API v2; webhooks and users exist in v1 only."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from common.clock import Clock
from common.log import get_logger
from pipedrive_sync.domain.answers import Answer
from pipedrive_sync.domain.budget import Purpose
from pipedrive_sync.domain.custom_fields import FieldKeys
from pipedrive_sync.domain.record import PersonRecord, person_record
from pipedrive_sync.domain.write_back import Figures
from pipedrive_sync.pipedrive.gate import Call, Gate, PipedriveAway

log = get_logger()

PAGE_ROWS = 500
IDS_MAX = 100

_UNREADABLE = (KeyError, TypeError, ValueError)
"""What becomes of an item in which something is missing or of another kind."""

_ME, _PERSON, _PAGE, _WRITE, _FIELDS, _ADD_FIELD, _HOOKS, _DELETE_HOOK = 2, 1, 10, 5, 10, 5, 10, 6


class PipedriveRefused(Exception):
    """Pipedrive understood the call and said no."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.says)
        self.answer = answer


class PersonHidden(PipedriveRefused):
    """There may be such a person, but not for us, or in no form that we can read. It is not gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose token it is."""

    user_id: str
    user_name: str
    is_admin: bool
    company_id: str
    company_name: str
    company_domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    key: str
    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A subscription as Pipedrive lists it; its password is not kept."""

    id: int
    url: str
    action: str
    object: str
    version: str
    is_active: bool
    last_status: int | None
    last_delivery_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    url: str
    object: str
    user: str
    password: str


class PipedriveClient:
    """Raises PipedriveAway when Pipedrive cannot be asked, PipedriveRefused when it says no."""

    def __init__(self, gate: Gate, clock: Clock) -> None:
        self.gate = gate
        self._clock = clock

    async def account(self, *, purpose: Purpose = "read") -> Account:
        data = await self._data(Call(method="GET", path="v1/users/me", cost=_ME, purpose=purpose))
        return Account(
            user_id=str(data["id"]),
            user_name=str(data.get("name")),
            is_admin=bool(data.get("is_admin")),
            company_id=str(data["company_id"]),
            company_name=str(data.get("company_name")),
            company_domain=str(data.get("company_domain")),
        )

    async def fields(self) -> list[Field]:
        """Return the fields of persons; an account with more than a page of them has too many to care for."""
        found: list[Field] = []
        params: dict[str, str | int] = {"limit": PAGE_ROWS}
        while True:
            answer = await self._sent(
                Call(method="GET", path="v2/personFields", cost=_FIELDS, purpose="read", params=params)
            )
            found += _fields(answer)
            cursor = _cursor(answer)
            if cursor is None:
                return found
            params["cursor"] = cursor

    async def add_field(self, name: str, kind: str) -> Field:
        visible = {"add_visible_flag": False, "details_visible_flag": True}
        body = {"field_name": name, "field_type": kind, "ui_visibility": visible}
        call = Call(method="POST", path="v2/personFields", cost=_ADD_FIELD, purpose="read", json=body)
        return _field(await self._data(call))

    async def person(self, person_id: int, keys: FieldKeys) -> PersonRecord | None:
        """Read one person; None only if Pipedrive says that there is none. Raises PersonHidden too."""
        asked_at = self._clock.now()
        answer = await self.gate.send(
            Call(
                method="GET",
                path=f"v2/persons/{person_id}",
                cost=_PERSON,
                purpose="read",
                params={"custom_fields": ",".join(keys.all)},
            )
        )
        if answer.kind == "not_found":
            return None
        if answer.kind == "forbidden":
            raise PersonHidden(answer)
        item = _object(_checked(answer))
        try:
            return None if item.get("is_deleted") else person_record(item, keys=keys, read_at=asked_at)
        except _UNREADABLE as error:
            log.warning("person_unreadable", person_id=person_id, without=str(error))
            raise PersonHidden(answer) from None

    async def persons(self, ids: Sequence[int], keys: FieldKeys) -> dict[int, PersonRecord]:
        """Read up to a hundred people at once, for the price of ten; who is missing may still be there."""
        params = {"ids": ",".join(map(str, ids)), "limit": IDS_MAX, "custom_fields": ",".join(keys.all)}
        asked_at = self._clock.now()
        answer = await self._sent(
            Call(method="GET", path="v2/persons", cost=_PAGE, purpose="read", params=params)
        )
        return {record.person_id: record for record in _read_all(answer, keys, asked_at)}

    async def pages(
        self, keys: FieldKeys, *, since: datetime | None = None, until: datetime | None = None
    ) -> AsyncIterator[list[PersonRecord]]:
        """Read all people, or those updated in a span, page by page. A fixed end keeps pages from growing."""
        params: dict[str, str | int] = {"limit": PAGE_ROWS, "custom_fields": ",".join(keys.all)}
        if since is not None and until is not None:
            params |= {"updated_since": _whole_seconds(since), "updated_until": _whole_seconds(until)}
            params |= {"sort_by": "update_time", "sort_direction": "asc"}
        while True:
            asked_at = self._clock.now()
            answer = await self._sent(
                Call(method="GET", path="v2/persons", cost=_PAGE, purpose="read", params=params)
            )
            yield _read_all(answer, keys, asked_at)
            cursor = _cursor(answer)
            if cursor is None:
                return
            params["cursor"] = cursor

    async def write_figures(
        self, person_id: int, figures: Figures, keys: FieldKeys, *, purpose: Purpose
    ) -> Literal["written", "not_found", "forbidden"]:
        """Write tokens used and balance of a person, and nothing else."""
        fields = {keys.used: figures.used, keys.balance: figures.balance}
        body = {"custom_fields": {key: value for key, value in fields.items() if key is not None}}
        assert keys.quota not in body["custom_fields"], "the quota field is never ours to write"
        call = Call(method="PATCH", path=f"v2/persons/{person_id}", cost=_WRITE, purpose=purpose, json=body)
        answer = await self.gate.send(call)
        match answer.kind:
            case "not_found" | "forbidden":
                return answer.kind
            case _:
                _checked(answer)
                return "written"

    async def webhooks(self) -> list[Webhook]:
        """Return the webhooks that belong to our user."""
        answer = await self._sent(Call(method="GET", path="v1/webhooks", cost=_HOOKS, purpose="read"))
        return [_webhook(item) for item in answer.body["data"] or ()]

    async def add_webhook(self, new: NewWebhook) -> Webhook:
        body = {
            "subscription_url": new.url,
            "event_action": "*",
            "event_object": new.object,
            "name": f"Chat quotas ({new.object})",
            "version": "2.0",
            "http_auth_user": new.user,
            "http_auth_password": new.password,
        }
        call = Call(method="POST", path="v1/webhooks", cost=_HOOKS, purpose="read", json=body)
        return _webhook(await self._data(call))

    async def delete_webhook(self, webhook_id: int) -> None:
        """Delete a webhook; that it is gone already is no error."""
        call = Call(method="DELETE", path=f"v1/webhooks/{webhook_id}", cost=_DELETE_HOOK, purpose="read")
        answer = await self.gate.send(call)
        if answer.kind not in {"ok", "not_found"}:
            raise PipedriveRefused(answer)

    async def _sent(self, call: Call) -> Answer:
        return _checked(await self.gate.send(call))

    async def _data(self, call: Call) -> dict[str, Any]:
        return _object(await self._sent(call))


def _checked(answer: Answer) -> Answer:
    if answer.kind != "ok":
        raise PipedriveRefused(answer)
    if "data" not in answer.body:
        raise PipedriveAway(f"Pipedrive answered without data ({answer.status})")
    return answer


def _object(answer: Answer) -> dict[str, Any]:
    data = answer.body["data"]
    if not isinstance(data, dict):
        raise PipedriveAway(f"Pipedrive answered without data ({answer.status})")
    return cast(dict[str, Any], data)


def _list(answer: Answer) -> list[Any]:
    """Return the rows of a page of API v2. Null is not an empty page: it would read as nobody is there."""
    data = answer.body["data"]
    if not isinstance(data, list):
        raise PipedriveAway(f"Pipedrive answered without data ({answer.status})")
    return cast(list[Any], data)


def _cursor(answer: Answer) -> str | None:
    more: dict[str, Any] = answer.body.get("additional_data") or {}
    return more.get("next_cursor")


def _read_all(answer: Answer, keys: FieldKeys, asked_at: datetime) -> list[PersonRecord]:
    """Read a page; one person that cannot be read does not stop the others."""
    records: list[PersonRecord] = []
    for item in _list(answer):
        try:
            records.append(person_record(item, keys=keys, read_at=asked_at))
        except _UNREADABLE as error:
            log.warning("person_unreadable", without=str(error))
    return records


def _fields(answer: Answer) -> list[Field]:
    """Read a page; one field that cannot be read does not hide the others."""
    fields: list[Field] = []
    for item in _list(answer):
        try:
            fields.append(_field(item))
        except _UNREADABLE as error:
            log.warning("field_unreadable", without=str(error))
    return fields


def _field(item: dict[str, Any]) -> Field:
    return Field(key=item["field_code"], name=item["field_name"], type=item["field_type"])


def _webhook(item: dict[str, Any]) -> Webhook:
    return Webhook(
        id=int(item["id"]),
        url=str(item.get("subscription_url")),
        action=str(item.get("event_action")),
        object=str(item.get("event_object")),
        version=str(item.get("version")),
        is_active=bool(item.get("is_active")),
        last_status=item.get("last_http_status"),
        last_delivery_at=item.get("last_delivery_time"),
    )


def _whole_seconds(at: datetime) -> str:
    # With milliseconds the API refuses it.
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
