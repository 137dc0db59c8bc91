"""Routes of API v2: persons, organizations and the fields of persons."""

import base64
import binascii
import json
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from simulators.pipedrive.answers import Refused, done, error, invalid, not_found
from simulators.pipedrive.company import Company
from simulators.pipedrive.records import (
    CUSTOM_FIELDS_MAX,
    FIELD_TYPES,
    Actor,
    Entity,
    Record,
    User,
    field_as_api,
)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_CUSTOM_FIELDS_ASKED_MAX = 15
_LIMIT_MAX = 500
_IDS_MAX = 100
_SORTABLE = frozenset({"id", "update_time", "add_time"})
_WRITABLE = frozenset(
    {"name", "owner_id", "org_id", "emails", "phones", "visible_to", "label_ids", "custom_fields"}
)


class Records:
    """Answers for the records of one company."""

    def __init__(self, company: Company) -> None:
        self._company = company

    async def list(self, request: Request, entity: Entity) -> Response:
        query = request.query_params
        ids = query.get("ids")
        found = [record for record in self._company.records[entity].values() if not record.is_deleted]
        if ids is not None:
            asked = {_integer(part, "ids") for part in ids.split(",")}
            if len(asked) > _IDS_MAX:
                raise invalid("ids: at most 100")
            found = [record for record in found if record.id in asked]
        if org_id := query.get("org_id"):
            found = [record for record in found if record.org_id == _integer(org_id, "org_id")]
        if since := _time(query.get("updated_since")):
            found = [record for record in found if record.update_time >= since]
        if until := _time(query.get("updated_until")):
            found = [record for record in found if record.update_time < until]
        page, cursor = _page(found, dict(query))
        wanted = _wanted(query.get("custom_fields"))
        return done(
            [record.as_api(self._company.custom_codes, wanted) for record in page],
            additional_data={"next_cursor": cursor},
        )

    async def get(self, request: Request, entity: Entity) -> Response:
        record = self._find(request, entity)
        return done(
            record.as_api(self._company.custom_codes, _wanted(request.query_params.get("custom_fields")))
        )

    async def create(self, request: Request, entity: Entity, user: User) -> Response:
        body = await _body(request)
        if not isinstance(body.get("name"), str):
            raise invalid("name: Required")
        self._check(body)
        values = {name: body[name] for name in ("org_id", "emails", "custom_fields") if name in body}
        record = self._company.create(entity, body["name"], by=Actor(user.id, "api"), **values)
        return done(record.as_api(self._company.custom_codes))

    async def change(self, request: Request, entity: Entity, user: User) -> Response:
        record = self._find(request, entity)
        body = await _body(request)
        self._check(body)
        self._company.change(record, body, by=Actor(user.id, "api"))
        return done(record.as_api(self._company.custom_codes))

    async def delete(self, request: Request, entity: Entity, user: User) -> Response:
        record = self._find(request, entity)
        self._company.delete(record, by=Actor(user.id, "api"))
        return done({"id": record.id})

    async def search(self, request: Request) -> Response:
        term = request.query_params.get("term", "").lower()
        if not term:
            raise invalid("term: Required")
        is_exact = request.query_params.get("exact_match") == "true"
        items: list[dict[str, Any]] = []
        for person in self._company.persons.values():
            emails = [item["value"] for item in person.emails]
            hit = any(term == e.lower() if is_exact else term in e.lower() for e in emails)
            if hit and not person.is_deleted:
                item = {"id": person.id, "type": "person", "name": person.name, "emails": emails}
                items.append({"result_score": 1.0, "item": item})
        return done({"items": items}, additional_data={"next_cursor": None})

    def _find(self, request: Request, entity: Entity) -> Record:
        record = self._company.records[entity].get(request.path_params["id"])
        if record is None or record.is_deleted:
            raise not_found(entity.capitalize())
        return record

    def _check(self, body: dict[str, Any]) -> None:
        unknown = body.keys() - _WRITABLE
        if unknown:
            raise invalid(f"{min(unknown)}: not allowed")
        custom: Any = body.get("custom_fields", {})
        if not isinstance(custom, dict):
            raise invalid("custom_fields: Expected object")
        for code, value in custom.items():
            field = self._company.fields.get(code)
            if field is None or not field.is_custom:
                raise invalid(f"custom_fields.{code}: unknown field")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            fits = is_number if field.type == "double" else isinstance(value, str)
            if value is not None and field.type in {"double", "varchar", "text"} and not fits:
                raise invalid(f"custom_fields.{code}: wrong type")


class Fields:
    """Answers for the fields of persons."""

    def __init__(self, company: Company) -> None:
        self._company = company

    async def list(self, _request: Request) -> Response:
        found = [field_as_api(field) for field in self._company.fields.values()]
        return done(found, additional_data={"next_cursor": None})

    async def get(self, request: Request) -> Response:
        return done(field_as_api(self._company.fields[self._code(request)]))

    async def create(self, request: Request) -> Response:
        body = await _body(request)
        name, kind = body.get("field_name"), body.get("field_type")
        if not isinstance(name, str) or not name or kind not in FIELD_TYPES:
            raise invalid("field_name and a known field_type are required")
        if len(self._company.custom_codes) >= CUSTOM_FIELDS_MAX:
            answer = error(403, "The limit of custom fields is reached")
            raise Refused(answer)
        return done(field_as_api(self._company.add_field(name, kind)))

    async def rename(self, request: Request) -> Response:
        field = self._company.fields[self._code(request)]
        field.name = (await _body(request)).get("field_name", field.name)
        return done(field_as_api(field))

    async def delete(self, request: Request) -> Response:
        return done(field_as_api(self._company.delete_field(self._code(request))))

    def _code(self, request: Request) -> str:
        code = request.path_params["code"]
        if code not in self._company.fields:
            raise not_found("Field")
        return code


def _page(found: list[Record], query: dict[str, str]) -> tuple[list[Record], str | None]:
    """Cut a page. A cursor names the last row, so rows that change meanwhile move between pages."""
    sort_by, is_down = query.get("sort_by", "id"), query.get("sort_direction") == "desc"
    limit = _integer(query.get("limit", "100"), "limit")
    if sort_by not in _SORTABLE or not 1 <= limit <= _LIMIT_MAX:
        raise invalid("sort_by or limit: not allowed")

    def place(record: Record) -> tuple[Any, int]:
        return getattr(record, sort_by), record.id

    found.sort(key=place, reverse=is_down)
    if cursor := query.get("cursor"):
        after = _read_cursor(cursor)
        found = [r for r in found if (place(r) < after if is_down else place(r) > after)]
    page = found[:limit]
    return page, _cursor(sort_by, place(page[-1]), is_down=is_down) if len(found) > limit else None


def _cursor(sort_by: str, place: tuple[Any, int], *, is_down: bool) -> str:
    fields = {
        "field": sort_by,
        "fieldValue": place[0],
        "sortDirection": "desc" if is_down else "asc",
        "id": place[1],
    }
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[Any, int]:
    try:
        fields = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return fields["fieldValue"], fields["id"]
    except (binascii.Error, ValueError, KeyError):
        raise invalid("cursor: not valid") from None


def _wanted(custom_fields: str | None) -> frozenset[str] | None:
    if custom_fields is None:
        return None
    wanted = frozenset(custom_fields.split(","))
    if len(wanted) > _CUSTOM_FIELDS_ASKED_MAX:
        raise invalid("custom_fields: at most 15")
    return wanted


def _time(value: str | None) -> str | None:
    if value is not None and _TIME.fullmatch(value) is None:
        raise invalid("a time must be RFC3339 without milliseconds")
    return value


def _integer(value: str, name: str) -> int:
    if not value.isdecimal():
        raise invalid(f"{name}: Expected integer")
    return int(value)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise invalid("Expected a JSON object")
    return body
