"""Users as operators find them, and what operators do to their tokens."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from common.events.envelope import Company
from support.clock import FakeClock
from support.dashboard import DashboardOnTrial, dashboard_on
from support.ledger import finished, hold_for
from usage_ledger.domain.account import Profile

PATH = "/dashboard/users"
PEOPLE = [
    ("u1", "Ada Lovelace", "ada@example.org", "Acme"),
    ("u2", "Zoë Müller", "zoe@boreal.example", "Boréal AG"),
    ("auth0|3", None, "björn@example.org", None),
    ("a/b c", "ada O'Brien", None, "Acme"),
    ("u5", None, None, None),
]


@pytest.fixture
async def on_trial(db_url: str) -> AsyncGenerator[DashboardOnTrial]:
    clock = FakeClock()
    async with dashboard_on(db_url, clock=clock) as on_trial:
        for number, (user_id, name, email, company) in enumerate(PEOPLE):
            clock.pass_s(60)
            its = Company(id=company.lower(), name=company) if company else None
            profile = Profile(user_id=user_id, name=name, email=email, company=its)
            await on_trial.trial.ledger.accounts.open(profile)
            run = finished(f"r{number}", 100 * number, clock=clock, user_id=user_id, company=its)
            await on_trial.trial.ledger.settlements.book([run])
        yield on_trial


async def ids(on_trial: DashboardOnTrial, **query: Any) -> list[str]:
    return [user["id"] for user in (await on_trial.get(PATH, **query))["items"]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ada", {"u1", "a/b c"}),
        ("LOVE", {"u1"}),
        ("lovelace ad", {"u1"}),
        ("mul", {"u2"}),
        ("Müll zoe", {"u2"}),
        ("boreal", {"u2"}),
        ("auth0|3", {"auth0|3"}),
        ("auth0", {"auth0|3"}),
        ("bjorn", {"auth0|3"}),
        ("zoe@boreal.ex", {"u2"}),
        ("o'brien", {"a/b c"}),
        ("brien", {"a/b c"}),
        ("acme", {"u1", "a/b c"}),
        ("velace", set()),
        (".*", set()),
        ("^ada", set()),
        ("  ", {"u1", "u2", "auth0|3", "a/b c", "u5"}),
    ],
)
async def test_a_search_finds_the_beginnings_of_words(on_trial: DashboardOnTrial, text: str, found: set[str]):
    answer = await on_trial.get(PATH, q=text)
    assert {user["id"] for user in answer["items"]} == found
    assert answer["total"] == len(found)


async def test_a_page_ends_behind_any_name(on_trial: DashboardOnTrial):
    # Letters that become several when they are normalized, as many as a session may have.
    for user_id, name in (("longest", "각" * 200), ("widest", "ﷺ" * 200), ("last", "힣")):
        await on_trial.trial.ledger.accounts.open(Profile(user_id=user_id, name=name))
    names: list[str] = []
    after: dict[str, Any] = {}
    while True:
        page = await on_trial.get(PATH, sort="name", limit=1, **after)
        names += [user["id"] for user in page["items"]]
        if page["next_cursor"] is None:
            break
        after = {"cursor": page["next_cursor"]}
    assert names[len(PEOPLE) :] == ["widest", "longest", "last"]


async def test_users_come_in_the_order_asked_for(on_trial: DashboardOnTrial):
    everyone = [user_id for user_id, *_ in PEOPLE]
    assert await ids(on_trial) == everyone[::-1]
    assert await ids(on_trial, sort="created_at") == everyone
    assert await ids(on_trial, sort="token_balance") == everyone[::-1]
    assert await ids(on_trial, sort="-token_balance") == everyone
    # By name, else e-mail, else id; upper and lower case are the same.
    assert await ids(on_trial, sort="name") == ["u1", "a/b c", "auth0|3", "u5", "u2"]
    assert await ids(on_trial, sort="-name") == ["u2", "u5", "auth0|3", "a/b c", "u1"]
    assert await ids(on_trial, sort="name", q="ada") == ["u1", "a/b c"]


@pytest.mark.parametrize(
    "sort", ["name", "-name", "token_balance", "-token_balance", "created_at", "-last_active_at"]
)
@pytest.mark.parametrize("text", ["", "a"])
async def test_cursors_and_numbers_lead_through_all_users(on_trial: DashboardOnTrial, sort: str, text: str):
    whole = await ids(on_trial, sort=sort, q=text)
    by_number = [
        i for start in range(0, 5, 2) for i in await ids(on_trial, sort=sort, q=text, start=start, limit=2)
    ]
    by_cursor: list[str] = []
    cursor: str | None = None
    while True:
        after = {"cursor": cursor} if cursor else {}
        page = await on_trial.get(PATH, sort=sort, q=text, limit=2, **after)
        by_cursor += [user["id"] for user in page["items"]]
        assert page["total"] == len(whole)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert by_cursor == by_number == whole


async def test_equal_values_are_told_apart_by_id(db_url: str):
    async with dashboard_on(db_url) as on_trial:
        for number in range(7):
            await on_trial.trial.ledger.accounts.open(Profile(user_id=f"u{number}"))
        first = await on_trial.get(PATH, sort="-token_balance", limit=3)
        second = await on_trial.get(PATH, sort="-token_balance", limit=9, cursor=first["next_cursor"])
        found = [user["id"] for user in (*first["items"], *second["items"])]
        assert found == [f"u{number}" for number in range(6, -1, -1)]


async def test_a_cursor_of_another_order_is_refused(on_trial: DashboardOnTrial):
    first = await on_trial.get(PATH, sort="name", limit=2)
    query = {"sort": "-name", "cursor": first["next_cursor"]}
    answer = await on_trial.client.get(PATH, params=query)
    assert (answer.status_code, answer.json()["parameters"][0]["name"]) == (400, "cursor")


async def test_a_user_is_shown_with_balance_held_and_latest_rows(on_trial: DashboardOnTrial):
    await on_trial.trial.ledger.accounts.place_hold(hold_for("open", 150, user_id="u2"))
    shown = await on_trial.get(f"{PATH}/u2")
    assert (shown["token_balance"], shown["token_held"], shown["token_available"]) == (900, 150, 750)
    assert (shown["name"], shown["company"]["name"], shown["quota"]) == ("Zoë Müller", "Boréal AG", None)
    assert [row["kind"] for row in shown["transactions"]] == ["usage", "opening"]
    assert shown["transactions"][0]["usage"]["total_tokens"] == 100


async def test_any_id_can_be_asked_for_and_an_unknown_one_is_not_found(on_trial: DashboardOnTrial):
    for user_id, address in (("a/b c", "a%2Fb%20c"), ("auth0|3", "auth0%7C3")):
        assert (await on_trial.get(f"{PATH}/{address}"))["id"] == user_id
    answer = await on_trial.client.get(f"{PATH}/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestTokens:
    async def set(self, on_trial: DashboardOnTrial, user_id: str = "u1", **body: Any):
        return await on_trial.client.post(f"{PATH}/{user_id}/tokens", json=body)

    async def test_a_balance_is_set_by_a_row_in_the_operators_name(self, on_trial: DashboardOnTrial):
        answer = await self.set(
            on_trial, token_balance=5_000, token_grant=700, reason="complained", expected_balance=1_000
        )
        assert answer.status_code == 200
        shown = answer.json()
        assert (shown["token_balance"], shown["token_grant"]) == (5_000, 700)
        row = shown["transactions"][0]
        assert (row["kind"], row["tokens"], row["actor"], row["reason"]) == (
            "adjustment",
            4_000,
            "op",
            "complained",
        )
        assert (row["balance_before"], row["balance_after"]) == (1_000, 5_000)
        (stored,) = await on_trial.trial.rows(kind="adjustment")
        assert (stored["grant_before"], stored["grant_after"]) == (400, 700)

    async def test_a_balance_that_moved_is_a_conflict_and_changes_nothing(self, on_trial: DashboardOnTrial):
        answer = await self.set(on_trial, token_balance=5, expected_balance=999)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["token_balance"]) == (409, "conflict", 1_000)
        assert await on_trial.trial.rows(kind="adjustment") == []

    async def test_a_grant_alone_leaves_the_balance(self, on_trial: DashboardOnTrial):
        answer = await self.set(on_trial, token_grant=0)
        assert (answer.json()["token_balance"], answer.json()["token_grant"]) == (1_000, 0)
        assert answer.json()["transactions"][0]["tokens"] == 0

    async def test_a_balance_may_be_a_debt(self, on_trial: DashboardOnTrial):
        assert (await self.set(on_trial, token_balance=-50)).json()["token_balance"] == -50

    async def test_an_unknown_user_is_not_found(self, on_trial: DashboardOnTrial):
        assert (await self.set(on_trial, "nobody", token_balance=5)).status_code == 404

    async def test_a_user_with_any_id_can_be_set(self, on_trial: DashboardOnTrial):
        answer = await self.set(on_trial, "a%2Fb%20c", token_balance=7)
        assert (answer.status_code, answer.json()["id"]) == (200, "a/b c")

    async def test_a_reason_of_blanks_is_refused(self, on_trial: DashboardOnTrial):
        assert (await self.set(on_trial, token_balance=5, reason="  ")).status_code == 400
