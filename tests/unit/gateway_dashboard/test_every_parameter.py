"""Every parameter and member that the gateway describes under /dashboard refuses what is none of its values.

The routes are those of the OpenAPI document, so one that is added is tested, or fails for want of bad values.
"""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from gateway.contract import snapshot
from gateway.dashboard.ranges import DAYS_MAX

NOT_TEXT = ('{"$gt":""}', '["a"]', "a\x00b")
BIG = 2**63

BAD_DATES = ("soon", "2026-02-30", "-1", "NaN", "1e400", str(BIG), "", "0001-01-01", "x" * 41, '{"$gt":""}')
BAD_NUMBERS = ("-1", "-1e9", "1.5", "NaN", "Infinity", "1e400", str(BIG), "", "ten", '{"$gt":""}')
BAD_QUERY_VALUES: dict[str, tuple[str, ...]] = {
    "date_from": BAD_DATES,
    "date_to": BAD_DATES,
    "tz": ("Mars/Olympus", "-1", "NaN", str(BIG), "", "../UTC", "x" * 65, '{"$gt":""}'),
    "limit": (*BAD_NUMBERS, "0", "201"),
    "start": BAD_NUMBERS,
    "cursor": ("nonsense", "-1", "NaN", str(BIG), "", "x" * 2_001, '{"$gt":""}'),
    "user": (*NOT_TEXT, "", "u" * 201),
    "company": (*NOT_TEXT, "", "c" * 4_001),
    "kind": ("refund", "-1", "NaN", str(BIG), "", '{"$gt":""}'),
    "q": (*NOT_TEXT, "x" * 101),
    "sort": ("balance", "-1", "NaN", str(BIG), "", "$natural", '{"$gt":""}'),
}
BAD_PATH_VALUES = {"user_id": ("%7B%22%24gt%22%3A%22%22%7D", "%5B%22a%22%5D", "a%00b", "u" * 201)}

BAD_MEMBERS = ({"$gt": ""}, float("nan"), float("inf"), BIG, -BIG, [{"$ne": 1}])
"""No member of any body is one of these."""

TOO_LONG = (date(2024, 1, 1), date(2024, 1, 1) + timedelta(days=DAYS_MAX))
BAD_RANGES = (("2026-02-02", "2026-02-01"), tuple(day.isoformat() for day in TOO_LONG))

DOCUMENT: dict[str, Any] = json.loads(snapshot())
ROUTES: dict[tuple[str, str], dict[str, Any]] = {
    (method.upper(), path): operation
    for path, operations in DOCUMENT["paths"].items()
    if path.startswith("/dashboard")
    for method, operation in operations.items()
}


def parameters(place: str) -> Iterator[tuple[str, str, str]]:
    for (method, path), operation in ROUTES.items():
        for parameter in operation.get("parameters", []):
            if parameter["in"] == place:
                yield method, path, parameter["name"]


def members() -> Iterator[tuple[str, str]]:
    for (method, path), operation in ROUTES.items():
        if "requestBody" in operation:
            assert method == "POST"
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            shape = DOCUMENT["components"]["schemas"][reference.rsplit("/", 1)[1]]
            yield from ((path, name) for name in shape["properties"])


QUERY = list(parameters("query"))
PATH = list(parameters("path"))
RANGES = sorted({(m, path) for m, path, name in QUERY if name in {"date_from", "date_to"}})


def address(path: str) -> str:
    return path.replace("{user_id}", "u1")


def assert_refused(answer: httpx.Response, name: str, sent: object) -> None:
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["code"]) == (400, "malformed"), (sent, problem)
    reasons = {found["name"]: found["reason"] for found in problem["parameters"]}
    assert any(found.split(".")[0] == name and reason for found, reason in reasons.items()), (sent, reasons)


def test_the_document_has_the_routes_of_the_dashboard():
    assert len(ROUTES) >= 13
    assert {name for *_, name in QUERY} == BAD_QUERY_VALUES.keys()
    assert {name for *_, name in PATH} == BAD_PATH_VALUES.keys()
    assert ("GET", "/dashboard/overall/usage") in RANGES


@pytest.mark.parametrize(("method", "path", "name"), QUERY)
async def test_a_query_parameter_is_refused_by_name(
    client: httpx.AsyncClient, method: str, path: str, name: str
):
    for value in BAD_QUERY_VALUES[name]:
        assert_refused(await client.request(method, address(path), params={name: value}), name, value)


@pytest.mark.parametrize(("method", "path", "name"), PATH)
async def test_a_part_of_the_path_is_refused_by_name(
    client: httpx.AsyncClient, method: str, path: str, name: str
):
    for value in BAD_PATH_VALUES[name]:
        answer = await client.request(method, path.replace(f"{{{name}}}", value), json={"token_balance": 1})
        assert_refused(answer, name, value)


@pytest.mark.parametrize(("path", "name"), list(members()))
async def test_a_member_of_a_body_is_refused_by_name(client: httpx.AsyncClient, path: str, name: str):
    headers = {"Content-Type": "application/json"}
    for value in BAD_MEMBERS:
        # Python's own JSON knows NaN and Infinity, which no standard does.
        answer = await client.post(address(path), content=json.dumps({name: value}), headers=headers)
        assert_refused(answer, name, value)


@pytest.mark.parametrize(("method", "path"), RANGES)
@pytest.mark.parametrize(("date_from", "date_to"), BAD_RANGES)
async def test_a_reversed_or_too_long_range_is_refused(
    client: httpx.AsyncClient, method: str, path: str, date_from: str, date_to: str
):
    bounds = {"date_from": date_from, "date_to": date_to}
    assert_refused(await client.request(method, address(path), params=bounds), "date_to", bounds)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("name", ["user[$ne]", "$where", "limit[$gt]", '{"$gt":""}'])
async def test_an_operator_in_the_name_of_a_parameter_is_refused(
    client: httpx.AsyncClient, method: str, path: str, name: str
):
    answer = await client.request(method, address(path), params={name: "1"}, json={})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "malformed"), problem
    assert name in {found["name"] for found in problem["parameters"]}
