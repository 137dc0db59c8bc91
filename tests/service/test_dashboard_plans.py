"""Every question that the dashboard asks of a large ledger is answered by an index, or by few rollups.

The plans are the database's own. How much a plan reads is asserted where the filter is bounded by itself; a
stand-in for MongoDB that sorts instead of reading an index in order reads all that its index finds. secantusd
also has no plan but a scan for the search by the beginnings of words; there it is only asked.

With `PLAN_ROWS`, a whole year of that many rows is asked; a million take secantusd half an hour to index:
`PLAN_ROWS=1000000 make test ARGS="tests/service/test_dashboard_plans.py -n0 --timeout=7200"`. Where
explaining takes longer than answering, `-k "no_question or summary or second_page"` asks for the plans alone.
"""

import json
import os
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import httpx
import pytest

from common.errors import Unavailable
from common.mongo.client import Database, Document, connect
from common.mongo.indexes import ensure_indexes
from common.usage_rollup import INCREMENTS, ROLLUPS
from gateway.contract import snapshot
from gateway.indexes import INDEXES
from pipedrive_sync.store.indexes import INDEXES as CRM_INDEXES
from support.commands import examined, explain, recorded_reads, stages
from support.gateway_app import (
    FakeLedger,
    bearer,
    close_services,
    gateway_client,
    gateway_services,
    session_of,
)
from support.history import END, Plan, write_history

PLAN_ROWS = "PLAN_ROWS"
"""How many rows a year has that is asked instead of some days."""

EXPLAINED_WITHIN_MS = 1_800_000

FEW = Plan(rows=12_000, days=9, users=60, companies=6, end=END)
"""More rows a day than are looked through without the rollups of its quarters."""

PAGE_READS_MAX = 600
"""For a page of 50 rows: those of some quarters of an hour, wherever it lies among the 12,000. Of a user or a
company, those of two days, of which the companies have up to 300 rows."""

OF_A_KIND_MAX = 3
"""As many reads of one question are explained that differ by their values alone."""

MONTHS_READ_MAX = 8
"""Of each month that the history lies in; a user may have had some companies in it."""

DAYS = 9
"""Of both ranges below."""

MONTH = {"date_from": "2026-11-13", "date_to": "2026-11-21"}
ODD = {"date_from": "2026-11-14T10:07:30Z", "date_to": "2026-11-20T03:04:05Z", "tz": "Asia/Kathmandu"}
YEAR = {"date_from": "2025-11-22", "date_to": "2026-11-21", "tz": "Asia/Kathmandu"}
ROWS, USERS, USAGE = "/dashboard/transactions", "/dashboard/users", "/dashboard/overall/usage"

SEARCH = "users by the beginnings of words"

QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "usage of days": (USAGE, MONTH),
    "usage of an odd time": (USAGE, ODD),
    "usage of a year": (USAGE, YEAR),
    "rows": (ROWS, {}),
    "rows from a number on": (ROWS, {"start": 6_000}),
    "rows of a kind": (ROWS, {"kind": "usage"}),
    "rows of a rare kind": (ROWS, {"kind": "adjustment"}),
    "rows of an odd time": (ROWS, ODD),
    "rows of a user": (ROWS, {"user": "user-00002"}),
    "rows of a user's kind": (ROWS, {"user": "user-00002", "kind": "usage"}),
    "rows of a company": (ROWS, {"company": "c3"}),
    "rows of a company's kind": (ROWS, {"company": "c3", "kind": "grant"}),
    "rows of a user from a number on": (ROWS, {"user": "user-00002", "start": 200}),
    "rows of a user in a company": (ROWS, {"user": "user-00002", "company": "c2"}),
    "rows of a user in a company's kind": (ROWS, {"user": "user-00002", "company": "c2", "kind": "usage"}),
    "rows of a user in an odd time": (ROWS, {"user": "user-00002"} | ODD),
    "corrections": (ROWS, {"kind": "correction"}),
    "rows of a user as CSV": ("/dashboard/transactions.csv", {"user": "user-00002"}),
    "all rows as CSV": ("/dashboard/transactions.csv", {}),
    "rows of a company as CSV": ("/dashboard/transactions.csv", {"company": "c3"}),
    "usage as CSV of an odd time": ("/dashboard/transactions.csv", {"kind": "usage"} | ODD),
    "users": (USERS, {}),
    "users from a number on": (USERS, {"start": 20}),
    "users by balance, least first": (USERS, {"sort": "token_balance"}),
    "users by balance": (USERS, {"sort": "-token_balance"}),
    "users by name": (USERS, {"sort": "name"}),
    "users by age": (USERS, {"sort": "created_at"}),
    SEARCH: (USERS, {"q": "lovelace user7"}),
    "a user": (f"{USERS}/user-00002", {}),
    "flags": ("/dashboard/flags", {}),
    "operations": ("/dashboard/operations", {}),
    "waiting notifications": ("/dashboard/integration/waiting", {}),
}


class Ledger:
    """A made-up ledger and an operator's client."""

    def __init__(self, client: httpx.AsyncClient, db: Database, patient: Database, plan: Plan) -> None:
        self.client = client
        self.db = db
        self.patient = patient
        self.plan = plan

    @property
    def months(self) -> int:
        """Count the months of the history, begun ones too."""
        first, last = self.plan.start, self.plan.end
        return 12 * (last.year - first.year) + last.month - first.month + 1

    async def company_of(self, user_id: str) -> str:
        """Find a company in which a user has rows: which one it is depends on the history."""
        row = await self.db["transactions"].find_one({"user_id": user_id, "company.id": {"$gt": ""}})
        assert row is not None
        return row["company"]["id"]

    async def plans(
        self, name: str, *, by_cursor: bool = False, counted: bool = True
    ) -> list[tuple[Document, Document]]:
        """Ask, and have each read that it took explained; with `by_cursor`, those of the second page."""
        path, query = QUESTIONS[name]
        if {"user", "company"} <= query.keys():
            query = query | {"company": await self.company_of(query["user"])}
        if by_cursor:
            first = await self.client.get(path, params={**query, "limit": 5})
            rest = {name: value for name, value in query.items() if name != "start"}
            query = {**rest, "cursor": first.json()["next_cursor"]}
        with recorded_reads(self.db) as commands:
            answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        assert commands
        planned = [command for command in commands if _is_planned(command)]
        if not counted:
            planned = _few_of_a_kind(planned)
        return [(command, await explain(self.patient, command, counted=counted)) for command in planned]


def _is_by_index(command: Document, plan: Document) -> bool:
    """Tell so; what is not folded into the rollups yet is read whole: a few seconds of settlements."""
    used = [stage["stage"] for stage in stages(plan)]
    return "COLLSCAN" not in used or next(iter(command.values())) == INCREMENTS


def _few_of_a_kind(commands: list[Document]) -> list[Document]:
    """Leave out what was read like others before, with other values: a file asks for names page by page."""
    seen: Counter[str] = Counter()
    kept: list[Document] = []
    for command in commands:
        shape = json.dumps(_shape(command), sort_keys=True)
        seen[shape] += 1
        if seen[shape] <= OF_A_KIND_MAX:
            kept.append(command)
    return kept


def _shape(part: Any) -> Any:
    if isinstance(part, Mapping):
        fields = cast(Mapping[str, Any], part)
        return {name: _shape(value) for name, value in fields.items()}
    if isinstance(part, list):
        shapes = [_shape(value) for value in cast(list[Any], part)]
        return [shape for n, shape in enumerate(shapes) if shape not in shapes[:n]]
    return type(part).__name__


async def _is_stand_in(db: Database) -> bool:
    return "secantus" in json.dumps(await db.command({"buildInfo": 1}), default=str).lower()


def _is_planned(command: Document) -> bool:
    """Tell whether a plan is made: the number of all documents is known without one."""
    return "count" not in command


@pytest.fixture(scope="module")
async def ledger(module_db_url: str) -> AsyncGenerator[Ledger]:
    services = gateway_services(db_url=module_db_url)
    # Some databases take longer to explain a question than to answer it.
    patient = connect(module_db_url, service="test", timeout_ms=EXPLAINED_WITHIN_MS)
    rows = os.environ.get(PLAN_ROWS)
    plan = Plan(rows=int(rows), end=END) if rows else FEW
    assert isinstance(services.ledger, FakeLedger)
    # So nothing is asked of a model: the house's account cannot be opened.
    services.ledger.error = Unavailable("No ledger runs here")
    await write_history(patient, plan)
    await ensure_indexes(patient, (*INDEXES, *CRM_INDEXES))
    async with gateway_client(services) as client:
        client.headers.update(bearer(session_of(services, "op", role="operator")))
        yield Ledger(client, services.db, patient, plan)
    patient.client.close()
    await close_services(services)


def test_every_route_that_shows_something_is_asked():
    paths = json.loads(snapshot())["paths"]
    shown = {path for path, methods in paths.items() if path.startswith("/dashboard") and "get" in methods}
    assert {path.replace("user-00002", "{user_id}") for path, _ in QUESTIONS.values()} == shown
    of_rows = {parameter["name"] for parameter in paths[ROWS]["get"]["parameters"]}
    asked = {name for path, query in QUESTIONS.values() if path == ROWS for name in query}
    assert asked | {"limit", "cursor"} == of_rows


@pytest.mark.parametrize("name", QUESTIONS)
async def test_no_question_scans_a_collection(ledger: Ledger, name: str):
    for command, plan in await ledger.plans(name, counted=False):
        used = [stage["stage"] for stage in stages(plan)]
        assert used, plan
        assert _is_by_index(command, plan) or (name == SEARCH and await _is_stand_in(ledger.db)), command


async def test_a_summary_reads_what_the_usage_of_its_time_reads(ledger: Ledger):
    with recorded_reads(ledger.db) as of_usage:
        (await ledger.client.get(USAGE, params=MONTH)).raise_for_status()
    with recorded_reads(ledger.db) as of_summary:
        answer = await ledger.client.post("/dashboard/overall/resume", json=MONTH)
    assert answer.status_code == 503
    assert of_summary == of_usage


PAGES = [
    name for name, (path, query) in QUESTIONS.items() if path == ROWS and query.get("kind") in {None, "usage"}
]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("by_cursor", [False, True])
async def test_a_page_reads_little_more_than_its_rows_wherever_it_lies(
    ledger: Ledger,
    name: str,
    by_cursor: bool,  # noqa: FBT001
):
    for command, plan in await ledger.plans(name, by_cursor=by_cursor):
        if command.get("find") == "transactions":
            assert examined(plan) <= PAGE_READS_MAX, command
            assert _is_by_index(command, plan), command


@pytest.mark.parametrize("name", [name for name in PAGES if "user" in name or "company" in name])
async def test_the_rows_of_a_user_or_a_company_are_counted_from_few_rollups(ledger: Ledger, name: str):
    plans = await ledger.plans(name)
    added_up = [command for command, _ in plans if command.get("aggregate") == "transactions"]
    kinds = [command["pipeline"][0]["$match"].get("kind") for command in added_up]
    # Only the figures of corrections, which are few, are told apart from those of usage by their rows.
    assert kinds in ([], ["correction"])
    months = sum(examined(plan) for command, plan in plans if command.get("find") == ROLLUPS)
    assert months <= MONTHS_READ_MAX * ledger.months


@pytest.mark.parametrize("name", ["users", "users by balance", "users by name", "users by age"])
async def test_the_second_page_of_users_reads_an_index(ledger: Ledger, name: str):
    for command, plan in await ledger.plans(name, by_cursor=True):
        assert _is_by_index(command, plan), command


@pytest.mark.parametrize("name", ["usage of days", "usage of an odd time"])
async def test_usage_reads_rollups_and_the_rows_of_its_edges_alone(ledger: Ledger, name: str):
    plans = await ledger.plans(name)
    rollups = sum(examined(plan) for command, plan in plans if command.get("find") == ROLLUPS)
    rows = sum(examined(plan) for command, plan in plans if command.get("find") == "transactions")
    days = 2 * (DAYS + 1)
    # Of each day one document of figures and eight of users; of each edge some quarters of an hour.
    assert 0 < rollups <= days * 9 + 2 * 2 * 96 * 2
    assert rows <= 4 * 2 * ledger.plan.rows // ledger.plan.days // 96
