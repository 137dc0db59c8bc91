"""Whatever operators send by mistake or on purpose: 400, with which parameter and why. No database here."""

import json
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.policy import policies_of
from support.gateway_app import bearer, gateway_client, gateway_services, session_of

NAN = float("nan")
BIG = 2**63
USAGE, ROWS, CSV = "/dashboard/overall/usage", "/dashboard/transactions", "/dashboard/transactions.csv"
USERS, FLAGS, WAITING = "/dashboard/users", "/dashboard/flags", "/dashboard/integration/waiting"
TOKENS, SUMMARY = "/dashboard/users/u1/tokens", "/dashboard/overall/resume"
REPLAY, DROP = "/dashboard/operations/replay", "/dashboard/operations/drop"

OPERATOR_TEXTS = ['{"$gt":""}', ' {"$ne":null}', '["a"]', '{"$where":"sleep(1)"}']

QUERIES: list[tuple[str, dict[str, Any], str]] = [
    *((path, {"date_from": "soon"}, "date_from") for path in (USAGE, ROWS, CSV)),
    *((path, {"date_to": "2026-02-30"}, "date_to") for path in (USAGE, ROWS, CSV)),
    *((path, {"date_from": "2026-02-02", "date_to": "2026-02-01"}, "date_to") for path in (USAGE, ROWS, CSV)),
    *((path, {"date_from": "2024-01-01", "date_to": "2026-01-01"}, "date_to") for path in (USAGE, ROWS, CSV)),
    *((path, {"tz": "Mars/Olympus"}, "tz") for path in (USAGE, ROWS, CSV)),
    *((path, {"tz": "x" * 65}, "tz") for path in (USAGE, ROWS, CSV)),
    *((path, {"date_from": "x" * 41}, "date_from") for path in (USAGE, ROWS, CSV)),
    *((path, {"date_from": text}, "date_from") for path in (USAGE, ROWS) for text in OPERATOR_TEXTS),
    *(
        (path, {"limit": value}, "limit")
        for path in (ROWS, USERS, FLAGS)
        for value in (0, -1, 201, BIG, "NaN", "1e3", "1.5", "", "ten", '{"$gt":""}', "Infinity")
    ),
    *(
        (path, {"start": value}, "start")
        for path in (ROWS, USERS)
        for value in (-1, BIG, "NaN", "1e400", '{"$gt":""}', "")
    ),
    *((ROWS, {"user": text}, "user") for text in [*OPERATOR_TEXTS, "", "a\x00b", "u" * 201]),
    *((ROWS, {"company": text}, "company") for text in [*OPERATOR_TEXTS, ""]),
    *((CSV, {"user": text}, "user") for text in OPERATOR_TEXTS),
    *((ROWS, {"kind": text}, "kind") for text in ["refund", "", '{"$ne":"usage"}', "usage,grant"]),
    *((path, {"cursor": "nonsense"}, "cursor") for path in (ROWS, USERS, FLAGS)),
    *((path, {"cursor": "x" * 2_001}, "cursor") for path in (ROWS, USERS, FLAGS)),
    *((USERS, {"q": text}, "q") for text in [*OPERATOR_TEXTS, "x" * 101, "a\nb"]),
    *((USERS, {"sort": text}, "sort") for text in ["balance", "$natural", '{"balance":-1}', ""]),
    ("/dashboard/users/" + "%7B%22$gt%22%3A%22%22%7D", {}, "user_id"),
    ("/dashboard/users/" + "u" * 201, {}, "user_id"),
    (USAGE, {"date_from[$gte]": "2026-01-01"}, "date_from[$gte]"),
    (ROWS, {"user[$ne]": "u1"}, "user[$ne]"),
    (USERS, {"$where": "1"}, "$where"),
    (WAITING, {"limit[$gt]": "1"}, "limit[$gt]"),
    (ROWS, {"company": "c" * 4_001}, "company"),
]

BODIES: list[tuple[str, Any, str]] = [
    *((TOKENS, {"token_balance": value}, "token_balance") for value in (BIG, -BIG, 2**53, 1.5, "10", True)),
    *((TOKENS, {"token_balance": value}, "token_balance") for value in (NAN, float("inf"), {"$inc": 5}, [])),
    *((TOKENS, {"token_grant": value}, "token_grant") for value in (-1, BIG, NAN, "x")),
    *(
        (TOKENS, {"token_balance": 1, "expected_balance": value}, "expected_balance")
        for value in (BIG, NAN, "1", {"$gt": 0})
    ),
    *((TOKENS, {"token_balance": 1, "reason": value}, "reason") for value in ("", " ", "x" * 501, 5, "a\nb")),
    (TOKENS, {"token_balance": 1, "balance": 5}, "balance"),
    (TOKENS, {"token_balance": 1, "$set": {"balance": 5}}, "$set"),
    (TOKENS, {}, "body"),
    (TOKENS, {"reason": "why"}, "body"),
    (TOKENS, [], "body"),
    (SUMMARY, {"date_from": "soon"}, "date_from"),
    (SUMMARY, {"date_from": "2026-02-02", "date_to": "2026-02-01"}, "date_to"),
    (SUMMARY, {"date_from": "2024-01-01", "date_to": "2026-01-01"}, "date_to"),
    (SUMMARY, {"stats": {"date_from": "2024-01-01", "date_to": "2026-01-01"}}, "stats.date_to"),
    (SUMMARY, {"tz": "Mars/Olympus"}, "tz"),
    (SUMMARY, {"date_from": {"$gt": ""}}, "date_from"),
    (SUMMARY, {"stats": {}}, "stats.date_from"),
    (SUMMARY, {"stats": {"date_from": 5, "date_to": "2026-01-01"}}, "stats.date_from"),
    (SUMMARY, {"stats": {"date_from": "2026-01-02", "date_to": "2026-01-01"}}, "stats.date_to"),
    (SUMMARY, {"stats": {"date_from": "2026-01-01", "date_to": "2026-01-01", "tz": "x"}}, "stats.tz"),
    (SUMMARY, {"stats": "all"}, "stats"),
    (SUMMARY, {"stats": {"date_from": "2026-01-01"}, "date_to": "2026-01-01"}, "body"),
    *((REPLAY, {"queue": "worker.run.v1", "ids": value}, "ids") for value in ([], "a", {"$ne": 1})),
    (REPLAY, {"queue": "worker.run.v1", "ids": ["a"] * 1_001}, "ids"),
    (REPLAY, {"queue": "worker.run.v1"}, "body"),
    (REPLAY, {"queue": "worker.run.v1", "ids": ["a"], "all": True}, "body"),
    (REPLAY, {"queue": {"$gt": ""}, "all": True}, "queue"),
    (REPLAY, {"queue": "worker.run.v1", "all": "yes"}, "all"),
    (DROP, {"queue": "worker.run.v1", "ids": ["a"]}, "reason"),
    (DROP, {"queue": "worker.run.v1", "ids": ["a"], "reason": ""}, "reason"),
    (DROP, {"queue": "worker.run.v1", "ids": ["a"], "reason": "  "}, "reason"),
]


def refused_parameters(answer: httpx.Response) -> dict[str, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "malformed"), problem
    return {parameter["name"]: parameter["reason"] for parameter in problem["parameters"]}


@pytest.mark.parametrize(("path", "query", "name"), QUERIES)
async def test_a_query_is_refused_by_its_parameter(
    client: httpx.AsyncClient, path: str, query: dict[str, Any], name: str
):
    reasons = refused_parameters(await client.get(path, params=query))
    assert reasons[name]


@pytest.mark.parametrize(("path", "body", "name"), BODIES)
async def test_a_body_is_refused_by_its_member(client: httpx.AsyncClient, path: str, body: Any, name: str):
    # Python's own JSON knows NaN and Infinity, which no standard does.
    headers = {"Content-Type": "application/json"}
    answer = await client.post(path, content=json.dumps(body), headers=headers)
    reasons = refused_parameters(answer)
    assert any(name in found for found in reasons), reasons
    assert all(reasons.values())


@pytest.mark.parametrize("body", [b"{", b"null", b'"x"', b"\xff\xfe", b'{"token_balance":1e400}'])
async def test_what_is_no_json_is_refused(client: httpx.AsyncClient, body: bytes):
    answer = await client.post(TOKENS, content=body, headers={"Content-Type": "application/json"})
    assert refused_parameters(answer)


async def test_an_unknown_queue_is_not_found_and_the_known_ones_are_named(client: httpx.AsyncClient):
    answer = await client.post(REPLAY, json={"queue": "amq.gen-1", "all": True})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "worker.run.v1" in answer.json()["detail"]


async def test_an_export_without_the_database_is_no_file(client: httpx.AsyncClient):
    answer = await client.get(CSV)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")


async def test_all_of_the_dashboard_is_for_operators():
    services = gateway_services()
    app = create_app(services)
    routes = [route for route in policies_of(app) if " /dashboard" in route]
    assert len(routes) > 10
    async with gateway_client(services, app) as client:
        for route in routes:
            method, path = route.split(" ", 1)
            assert policies_of(app)[route] == {"operator"}
            nobody = await client.request(method, path)
            user = await client.request(method, path, headers=bearer(session_of(services)))
            assert (nobody.status_code, user.status_code) == (401, 403), route


async def test_no_session_speaks_for_the_house():
    services = gateway_services()
    async with gateway_client(services) as client:
        headers = bearer(session_of(services, "house", role="operator"))
        assert (await client.get(USAGE, headers=headers)).status_code == 401
