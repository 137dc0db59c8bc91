"""The ledger's rows as operators page through them, on a made-up history with known sums."""

import csv
import io
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.context import Services
from support.dashboard import DashboardOnTrial, dashboard_on
from support.gateway_app import bearer, close_services, gateway_client, gateway_services, session_of
from support.history import END, Plan, Totals, write_history
from support.ledger import finished, user

PLAN = Plan(rows=2_500, days=40, users=50, companies=7, end=END)
PATH = "/dashboard/transactions"

Row = dict[str, Any]


class Year:
    """A stretch of history, all its rows in the order of the list, and a client."""

    def __init__(self, client: httpx.AsyncClient, rows: list[Row], totals: Totals) -> None:
        self.client = client
        self.rows = rows
        self.totals = totals

    async def page(self, **query: Any) -> dict[str, Any]:
        answer = await self.client.get(PATH, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def of(self, match: Callable[[Row], bool]) -> list[Row]:
        return [row for row in self.rows if match(row)]


@pytest.fixture(scope="module")
async def year(module_db_url: str) -> AsyncGenerator[Year]:
    services: Services = gateway_services(db_url=module_db_url)
    totals = await write_history(services.db, PLAN)
    rows = await services.db["transactions"].find().to_list(None)
    rows.sort(key=lambda row: (row["at"], row["_id"]), reverse=True)
    async with gateway_client(services) as client:
        client.headers.update(bearer(session_of(services, "op", role="operator")))
        yield Year(client, rows, totals)
    await close_services(services)


DAY_10, DAY_30 = END - timedelta(days=30), END - timedelta(days=10)
FILTERS: dict[str, tuple[dict[str, Any], Callable[[Row], bool]]] = {
    "all": ({}, lambda row: True),
    "a kind": ({"kind": "grant"}, lambda row: row["kind"] == "grant"),
    "usage": ({"kind": "usage"}, lambda row: row["kind"] == "usage"),
    "a user": ({"user": "user-00002"}, lambda row: row["user_id"] == "user-00002"),
    "a company": ({"company": "c3"}, lambda row: (row["company"] or {}).get("id") == "c3"),
    "a kind of a company": (
        {"company": "c3", "kind": "usage"},
        lambda row: (row["company"] or {}).get("id") == "c3" and row["kind"] == "usage",
    ),
    "a user in a company": (
        {"company": "c3", "user": "user-00002"},
        lambda row: (row["company"] or {}).get("id") == "c3" and row["user_id"] == "user-00002",
    ),
    "days": (
        {"date_from": "2026-10-23", "date_to": "2026-11-11"},
        lambda row: DAY_10 <= row["at"] < DAY_30,
    ),
    "days of a zone": (
        {"date_from": "2026-10-23", "date_to": "2026-11-11", "tz": "Asia/Kathmandu", "kind": "usage"},
        lambda row: DAY_10 <= row["at"] + timedelta(hours=5, minutes=45) < DAY_30 and row["kind"] == "usage",
    ),
    "days of a user": (
        {"date_from": "2026-10-23", "date_to": "2026-11-11", "user": "user-00001"},
        lambda row: DAY_10 <= row["at"] < DAY_30 and row["user_id"] == "user-00001",
    ),
    "some minutes": (
        {"date_from": "2026-11-01T10:07:30Z", "date_to": "2026-11-02T03:04:05Z"},
        lambda row: (
            datetime.fromisoformat("2026-11-01T10:07:30Z")
            <= row["at"]
            < datetime.fromisoformat("2026-11-02T03:04:05Z")
        ),
    ),
    "nobody": ({"user": "nobody"}, lambda row: False),
    "a company in brackets": ({"company": "[Acme]"}, lambda row: False),
    "a company with a long id": ({"company": "c" * 1_000}, lambda row: False),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_cursors_lead_through_all_rows_and_totals_are_of_all(year: Year, name: str):
    query, match = FILTERS[name]
    expected, found = year.of(match), []
    cursor: str | None = None
    while True:
        page = await year.page(limit=97, **query, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        aggregate = page["aggregate"]
        assert page["total"] == aggregate["rows"] == len(expected)
        assert aggregate["tokens"] == sum(row["tokens"] for row in expected)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [row["id"] for row in found] == [row["_id"] for row in expected]
    kinds = {kind: sum(row["kind"] == kind for row in expected) for kind in {row["kind"] for row in expected}}
    assert {kind: shown["rows"] for kind, shown in aggregate["by_kind"].items()} == kinds
    usage = [row["usage"] for row in expected if "usage" in row]
    assert aggregate["usage"]["input_tokens"] == sum(of["input_tokens"] for of in usage)
    assert aggregate["usage"]["reasoning_tokens"] == sum(of["reasoning_tokens"] for of in usage)
    assert aggregate["usage"]["runs"] == kinds.get("usage", 0)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("start", [0, 1, 60, 1_234, 2_499, 2_500, 10_000])
async def test_a_page_from_a_number_on(year: Year, name: str, start: int):
    query, match = FILTERS[name]
    page = await year.page(limit=7, start=start, **query)
    expected = year.of(match)[start : start + 7]
    assert [row["id"] for row in page["items"]] == [row["_id"] for row in expected]
    assert (page["next_cursor"] is None) == (start + 7 >= len(year.of(match)))


@pytest.mark.parametrize("name", ["all", "usage", "a company", "days of a zone", "some minutes", "nobody"])
async def test_the_export_has_the_same_rows(year: Year, name: str):
    query, match = FILTERS[name]
    answer = await year.client.get("/dashboard/transactions.csv", params=query)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    expected = year.of(match)
    assert [row["id"] for row in rows] == [row["_id"] for row in expected]
    assert sum(int(row["tokens"]) for row in rows) == sum(row["tokens"] for row in expected)
    texts = [row[name] for row in rows for name in ("user_name", "reason", "company_name")]
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@"))]


async def test_a_row_is_shown_with_what_its_kind_has(year: Year):
    page = await year.page(kind="usage", limit=1)
    (shown,) = page["items"]
    stored = year.of(lambda row: row["kind"] == "usage")[0]
    assert shown["usage"]["total_tokens"] == -stored["tokens"]
    assert (shown["run_id"], shown["model"]) == (stored["run_id"], stored["model"])
    assert shown["at"].endswith("Z")
    assert shown["user_name"]
    (grant,) = (await year.page(kind="grant", limit=1))["items"]
    assert not {"usage", "run_id", "model", "estimated"} & grant.keys()


async def test_rows_and_rollups_of_the_history_agree(year: Year):
    report = (
        await year.client.get("/dashboard/overall/usage?date_from=2026-10-13&date_to=2026-11-21")
    ).json()
    assert report["totals"]["total_tokens"] == year.totals.figures.total_tokens
    assert report["totals"]["runs"] == year.totals.rows["usage"]
    assert {row["user_id"]: row["total_tokens"] for row in report["by_user"]} == {
        user_id: figures.total_tokens for user_id, figures in year.totals.by_user.items()
    }


async def test_new_rows_do_not_shift_the_pages_behind_a_cursor(db_url: str):
    async with dashboard_on(db_url) as on_trial:
        await book_runs(on_trial, 0, 30)
        first = await on_trial.get(PATH, limit=10)
        await book_runs(on_trial, 30, 20)
        second = await on_trial.get(PATH, limit=10, cursor=first["next_cursor"])
        ids = [row["id"] for row in (*first["items"], *second["items"])]
        assert ids == [f"usage:r{number:03}" for number in range(29, 9, -1)]
        assert second["total"] == first["total"] + 20


async def test_rows_of_the_same_moment_come_once_each(db_url: str):
    async with dashboard_on(db_url) as on_trial:
        # The clock stands still, so all rows have one time.
        await book_runs(on_trial, 0, 25, pause_s=0)
        for query in ({}, {"kind": "usage"}, {"user": "u1"}, {"company": "acme"}):
            ids = [row["id"] for row in await on_trial.all_rows(limit=4, **query)]
            expected = [f"usage:r{number:03}" for number in range(24, -1, -1)]
            assert [row_id for row_id in ids if row_id.startswith("usage")] == expected
            assert len(set(ids)) == len(ids)


async def book_runs(on_trial: DashboardOnTrial, first: int, count: int, *, pause_s: float = 60) -> None:
    ledger, clock = on_trial.trial.ledger, on_trial.trial.clock
    await ledger.accounts.open(user("u1"))
    for number in range(first, first + count):
        clock.pass_s(pause_s)  # type: ignore[attr-defined]
        await ledger.settlements.book([finished(f"r{number:03}", 10, clock=clock)])


async def test_an_empty_ledger_has_an_empty_page(db_url: str):
    async with dashboard_on(db_url) as on_trial:
        page = await on_trial.get(PATH)
        assert (page["items"], page["total"], page["next_cursor"]) == ([], 0, None)
        assert page["aggregate"]["by_kind"] == {}
        answer = await on_trial.client.get("/dashboard/transactions.csv")
        assert len(answer.text.splitlines()) == 1
