"""The simulator of Pipedrive keeps to what is documented: retries, ban, deletion, limits, shapes."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulators.pipedrive.api import create_app
from simulators.pipedrive.records import Actor
from simulators.pipedrive.simulator import TOKEN, Simulator
from support.clock import FakeClock

URL = "http://chat.test/hook"


class Receiver:
    """Takes webhooks and answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.app = Starlette(routes=[Route("/hook", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.authorizations.append(request.headers.get("authorization"))
        return Response(status_code=self.status)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def simulator(clock: FakeClock, receiver: Receiver) -> AsyncGenerator[Simulator]:
    simulator = Simulator(clock, transport=httpx.ASGITransport(receiver.app))
    simulator.company.add_field("Quota", "double")
    yield simulator
    await simulator.close()


@pytest.fixture
async def api(simulator: Simulator) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(simulator))
    headers = {"x-api-token": TOKEN}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://pd.test/api", headers=headers
    ) as client:
        yield client


@pytest.fixture
async def hook(api: httpx.AsyncClient) -> dict[str, Any]:
    body = {"subscription_url": URL, "event_action": "*", "event_object": "person", "name": "n"}
    answer = await api.post("/v1/webhooks", json=body | {"http_auth_user": "u", "http_auth_password": "p"})
    assert answer.status_code == 201
    return answer.json()["data"]


def add_people(simulator: Simulator, count: int) -> list[int]:
    return [
        simulator.company.create("person", f"P{n}", by=simulator.by_hand, email=f"p{n}@x.example").id
        for n in range(count)
    ]


async def pass_time(simulator: Simulator, clock: FakeClock, **span: float) -> None:
    await simulator.deliver_all(clock.pass_s, within=timedelta(**span))


class TestWebhooks:
    async def test_a_change_is_posted_with_what_it_was_before(self, simulator, clock, receiver, hook):
        [person] = add_people(simulator, 1)
        simulator.edit([person], "Quota", 50_000)
        await pass_time(simulator, clock, seconds=1)
        body = receiver.bodies[-1]
        code = simulator.company.field_named("Quota").code
        assert body["data"]["custom_fields"][code] == {"type": "double", "value": 50_000}
        assert body["previous"]["custom_fields"] == {code: None}
        assert body["meta"]["entity_id"] == str(person)
        assert body["meta"]["version"] == "2.0"
        assert body["meta"]["change_source"] == "app"
        assert receiver.authorizations[-1] == "Basic dTpw"

    async def test_a_failed_post_comes_again_after_3_30_and_150_s(self, simulator, clock, receiver, hook):
        receiver.status = 500
        add_people(simulator, 1)
        started = clock.now()
        times = []
        while True:
            if await simulator.deliveries.deliver_due():
                times.append((clock.now() - started).total_seconds())
            due = simulator.deliveries.next_due_at
            if due is None:
                break
            clock.pass_s((due - clock.now()).total_seconds())
        assert times == [0, 3, 33, 183]
        assert [body["meta"]["attempt"] for body in receiver.bodies] == [1, 2, 3, 4]
        assert len({body["meta"]["id"] for body in receiver.bodies}) == 1
        assert simulator.deliveries.counts.given_up == 1

    async def test_ten_first_failures_are_a_ban_and_what_happens_in_it_is_lost(
        self, simulator, clock, receiver, hook
    ):
        receiver.status = 503
        add_people(simulator, 10)
        await pass_time(simulator, clock, minutes=5)
        receiver.status, receiver.bodies = 200, []
        add_people(simulator, 1)
        await pass_time(simulator, clock, minutes=20)
        assert receiver.bodies == []
        assert simulator.deliveries.counts.lost_in_ban == 1
        await pass_time(simulator, clock, minutes=10)
        add_people(simulator, 1)
        await pass_time(simulator, clock, minutes=1)
        assert len(receiver.bodies) == 1

    async def test_failed_retries_do_not_count_for_the_ban(self, simulator, clock, receiver, hook):
        receiver.status = 500
        add_people(simulator, 9)
        await pass_time(simulator, clock, minutes=10)
        [webhook] = simulator.deliveries.webhooks.values()
        assert webhook.banned_until is None
        assert webhook.first_failures == 9

    async def test_three_days_without_success_delete_the_webhook(self, simulator, clock, receiver, hook, api):
        receiver.status = 500
        for _ in range(4):
            add_people(simulator, 1)
            await pass_time(simulator, clock, days=1)
        assert (await api.get("/v1/webhooks")).json()["data"] == []

    async def test_duplicates_shuffling_and_delay_are_faults_on_demand(
        self, simulator, clock, receiver, hook
    ):
        faults = simulator.faults.webhooks
        faults.copies, faults.is_shuffled, faults.delay_s_max = 2, True, 60
        people = add_people(simulator, 20)
        await pass_time(simulator, clock, minutes=2)
        ids = [body["meta"]["entity_id"] for body in receiver.bodies]
        assert len(ids) == 40
        assert ids != sorted(ids, key=int)
        assert set(ids) == {str(person) for person in people}

    @pytest.mark.parametrize(("form", "expected"), [("null", {"k": None}), ("absent", {})])
    async def test_a_cleared_field_looks_as_told(self, simulator, clock, receiver, hook, form, expected):
        [person] = add_people(simulator, 1)
        simulator.edit([person], "Quota", 1)
        simulator.faults.webhooks.cleared = form
        simulator.edit([person], "Quota", None)
        await pass_time(simulator, clock, seconds=1)
        fields = receiver.bodies[-1]["data"]["custom_fields"]
        assert list(fields.values()) == list(expected.values())

    async def test_epoch_timestamps_on_demand(self, simulator, clock, receiver, hook):
        simulator.faults.webhooks.timestamps = "epoch"
        add_people(simulator, 1)
        await pass_time(simulator, clock, seconds=1)
        assert len(receiver.bodies[-1]["meta"]["timestamp"]) == 10

    async def test_a_merge_posts_both_sides(self, simulator, clock, receiver, hook):
        loser, winner = (simulator.company.persons[p] for p in add_people(simulator, 2))
        simulator.company.merge(loser, winner, by=simulator.by_hand)
        await pass_time(simulator, clock, seconds=1)
        metas = {body["meta"]["action"]: body["meta"] for body in receiver.bodies[-2:]}
        assert metas["delete"]["merged_to_id"] == str(winner.id)
        assert metas["change"]["merged_from_id"] == str(loser.id)

    async def test_our_own_write_echoes_with_our_user(self, simulator, clock, receiver, hook, api):
        [person] = add_people(simulator, 1)
        code = simulator.company.field_named("Quota").code
        assert (
            await api.patch(f"/v2/persons/{person}", json={"custom_fields": {code: 5}})
        ).status_code == 200
        await pass_time(simulator, clock, seconds=1)
        meta = receiver.bodies[-1]["meta"]
        assert (meta["change_source"], meta["user_id"]) == ("api", str(simulator.admin.id))

    async def test_a_write_of_what_is_there_already_is_no_event(self, simulator, clock, receiver, hook):
        [person] = add_people(simulator, 1)
        simulator.edit([person], "Quota", 5)
        simulator.edit([person], "Quota", 5)
        await pass_time(simulator, clock, seconds=1)
        assert len(receiver.bodies) == 2


class TestApi:
    async def test_without_a_good_token_nothing_is_told(self, simulator, api):
        answer = await api.get("/v2/persons", headers={"x-api-token": "wrong"})
        assert answer.status_code == 401
        assert answer.json()["success"] is False

    async def test_pages_follow_each_other(self, simulator, api):
        people = add_people(simulator, 7)
        seen, cursor = [], None
        while True:
            params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await api.get("/v2/persons", params=params)).json()
            seen += [item["id"] for item in page["data"]]
            cursor = page["additional_data"]["next_cursor"]
            if cursor is None:
                break
        assert seen == people

    async def test_updated_since_takes_no_milliseconds(self, simulator, api):
        add_people(simulator, 1)
        assert (await api.get("/v2/persons?updated_since=2026-01-01T00:00:00Z")).json()["data"]
        assert (await api.get("/v2/persons?updated_since=2026-01-01T00:00:00.000Z")).status_code == 400

    async def test_the_burst_limit_holds_for_any_two_seconds(self, simulator, api, clock):
        answers = [(await api.get("/v1/users/me")).status_code for _ in range(21)]
        assert answers == [200] * 20 + [429]
        refused = await api.get("/v1/users/me")
        assert refused.headers["retry-after"] == "2"
        assert refused.headers["x-daily-ratelimit-token-remaining"] != "0"
        clock.pass_s(2)
        assert (await api.get("/v1/users/me")).status_code == 200

    async def test_the_daily_budget_ends_at_midnight(self, simulator, api, clock):
        simulator.limits.daily_tokens = 5
        answers = [(await api.get("/v1/users/me")).status_code for _ in range(3)]
        assert answers == [200, 200, 429]
        clock.pass_s(12 * 3600)
        assert (await api.get("/v1/users/me")).status_code == 200

    @pytest.mark.parametrize(
        ("kind", "status"),
        [
            *(("burst", 429), ("daily", 429), ("blocked", 403), ("unauthorized", 401), ("forbidden", 403)),
            *(("error", 500), ("timeout", 524), ("null", 200), ("cut", 524)),
        ],
    )
    async def test_faults_are_answered_once_as_told(self, simulator, api, kind, status):
        await api.post("http://pd.test/_sim/faults", json={"api": [{"kind": kind, "headers": False}]})
        answer = await api.get("/v1/users/me")
        assert answer.status_code == status
        assert "retry-after" not in answer.headers
        assert (await api.get("/v1/users/me")).json()["success"] is True

    async def test_a_cut_answer_has_changed_something(self, simulator, api):
        await api.post("http://pd.test/_sim/faults", json={"api": [{"kind": "cut", "method": "POST"}]})
        assert (await api.post("/v2/persons", json={"name": "Ann"})).status_code == 524
        assert len(simulator.company.persons) == 1

    async def test_a_deleted_field_takes_its_values_along(self, simulator, api):
        [person] = add_people(simulator, 1)
        simulator.edit([person], "Quota", 5)
        code = simulator.company.field_named("Quota").code
        await api.delete(f"/v2/personFields/{code}")
        assert (await api.get(f"/v2/persons/{person}")).json()["data"]["custom_fields"] == {}
        assert (
            await api.patch(f"/v2/persons/{person}", json={"custom_fields": {code: 1}})
        ).status_code == 400

    async def test_the_api_is_strict_about_types(self, simulator, api):
        [person] = add_people(simulator, 1)
        code = simulator.company.field_named("Quota").code
        answer = await api.patch(f"/v2/persons/{person}", json={"custom_fields": {code: "5"}})
        assert answer.status_code == 400

    async def test_the_page_changes_a_quota_by_hand(self, simulator, api):
        [person] = add_people(simulator, 1)
        code = simulator.company.field_named("Quota").code
        form = {"person": str(person), "code": code, "value": "750"}
        await api.post("http://pd.test/_page/change", data=form)
        assert simulator.company.persons[person].custom_fields[code] == 750
        assert simulator.changes[-1].actor == Actor(simulator.by_hand.user_id, "app")
        assert "P0" in (await api.get("http://pd.test/")).text

    async def test_the_page_reads_numbers_as_people_type_them_and_refuses_others(self, simulator, api):
        [person] = add_people(simulator, 1)
        code = simulator.company.field_named("Quota").code
        form = {"person": str(person), "code": code, "value": " 1 250,000.5 "}
        assert (await api.post("http://pd.test/_page/change", data=form)).status_code == 303
        refused = await api.post("http://pd.test/_page/change", data=form | {"value": "a lot"})
        assert (refused.status_code, "not a number" in refused.text) == (400, True)
        assert simulator.company.persons[person].custom_fields[code] == 1_250_000.5


async def test_a_restart_finds_people_fields_and_webhooks_again(simulator, clock, hook, tmp_path: Path):
    [person] = add_people(simulator, 1)
    simulator.edit([person], "Quota", 5)
    simulator.save(tmp_path / "state")
    again = Simulator(clock, transport=httpx.ASGITransport(Receiver().app))
    assert again.load(tmp_path / "state")
    code = again.company.field_named("Quota").code
    assert again.company.persons[person].custom_fields == {code: 5}
    assert [found.url for found in again.deliveries.webhooks.values()] == [URL]
    assert again.company.create("person", "New", by=again.by_hand).id > person
    await again.close()
