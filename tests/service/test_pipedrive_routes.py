"""/int/tokens, /int/pipedrive/webhooks and the operator's list, on a real database."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from common.errors import Unavailable
from gateway.integration.relay import InboxRelay
from support.crm import QUOTA, USER_ID, CrmOnTrial, PatientInbox, crm_on
from support.gateway_app import FakePublisher, bearer, gateway_client, gateway_services, session_of
from support.ledger import user


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url) as trial:
        yield trial


@asynccontextmanager
async def silent_server() -> AsyncGenerator[int]:
    """Take connections and never answer; yields the port."""

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    ended = asyncio.Event()
    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            ended.set()


@asynccontextmanager
async def queue_running(crm: CrmOnTrial) -> AsyncGenerator[None]:
    """Let the queue run by itself, as it does in real life; a busy machine has time to decide."""
    inbox = crm.services.inbox
    assert isinstance(inbox, PatientInbox)

    async def run() -> None:
        while True:
            await crm.empty_queue()
            await asyncio.sleep(0.01)

    inbox.is_read = True
    task = asyncio.create_task(run())
    try:
        yield
    finally:
        inbox.is_read = False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def call(crm: CrmOnTrial, user_id: str, quota: str, **details: Any) -> httpx.Response:
    return await crm.http.post("/int/tokens", params={"id": user_id, "quota": quota}, json={"int": details})


class TestTokens:
    async def test_a_quota_is_applied_and_the_answer_says_so(self, crm: CrmOnTrial):
        await crm.ledger.ledger.accounts.open(user("u1"))
        async with queue_running(crm):
            answer = await call(crm, "u1", "50 000")
            assert answer.status_code == 200
            assert answer.json() == {
                "status": "applied",
                "user_id": "u1",
                "quota": 50_000,
                "token_balance": 50_000,
            }
            again = await call(crm, "u1", "50,000.00")
            assert again.json()["status"] == "unchanged"
        assert await crm.balance("u1") == 50_000
        (row,) = await crm.ledger.rows(kind="quota")
        assert (row["actor"], row["reason"].split(" (")[0]) == ("integration", "quota set by /int/tokens")

    async def test_a_user_whom_nobody_knew_starts_with_it(self, crm: CrmOnTrial):
        async with queue_running(crm):
            assert (await call(crm, "newcomer", "700")).json()["token_balance"] == 700

    async def test_put_does_the_same(self, crm: CrmOnTrial):
        async with queue_running(crm):
            answer = await crm.http.put("/int/tokens?id=u1&quota=5")
        assert (answer.status_code, answer.json()["status"]) == (200, "applied")

    async def test_while_nobody_listens_it_is_stored_and_applied_later(self, crm: CrmOnTrial):
        answer = await call(crm, "u1", "700")
        assert (answer.status_code, answer.json()) == (
            202,
            {"status": "accepted", "user_id": "u1", "quota": 700},
        )
        await crm.settle()
        assert await crm.balance("u1") == 700

    async def test_while_rabbitmq_is_away_too(self, crm: CrmOnTrial):
        publisher = crm.services.ask.publisher
        assert isinstance(publisher, FakePublisher)
        publisher.error = Unavailable()
        assert (await call(crm, "u1", "700")).status_code == 202
        with pytest.raises(Unavailable):
            await InboxRelay(crm.services.inbox, publisher).relay()
        publisher.error = None
        await crm.settle()
        assert await crm.balance("u1") == 700

    async def test_an_older_one_is_stale(self, crm: CrmOnTrial):
        async with queue_running(crm):
            await call(crm, "u1", "700", updated_at="2026-11-22T11:00:00Z")
            late = await call(crm, "u1", "900", updated_at="2026-11-22T10:00:00Z")
        assert (late.status_code, late.json()["status"]) == (200, "stale")
        assert await crm.balance("u1") == 700

    async def test_an_event_id_names_one_notification(self, crm: CrmOnTrial):
        async with queue_running(crm):
            first = await call(crm, "u1", "700", event_id="e1")
            again = await call(crm, "u1", "700", event_id="e1")
            assert first.json() == again.json()
            other = await call(crm, "u1", "800", event_id="e1")
        assert (other.status_code, other.json()["code"]) == (409, "id_reused")
        assert await crm.ledger.db["int_inbox"].count_documents({}) == 1

    async def test_a_person_may_be_named_and_is_linked(self, crm: CrmOnTrial):
        person = crm.person("Ann", **{QUOTA: 700})
        async with queue_running(crm):
            answer = await call(crm, "u1", "700", person_id=person)
        assert answer.json()["status"] == "applied"
        assert await crm.parts.stores.people.all_linked() == {person: "u1"}
        crm.clock.pass_s(60)
        async with queue_running(crm):
            wrong = await call(crm, "u1", "99999", person_id=person)
        assert wrong.json()["quota"] == 700

    async def test_a_raise_of_a_linked_user_is_read_in_pipedrive_though_no_person_is_named(
        self, crm: CrmOnTrial
    ):
        crm.person("Ann", **{USER_ID: "u1", QUOTA: 700})
        await crm.settle()
        crm.clock.pass_s(60)
        async with queue_running(crm):
            raised = await call(crm, "u1", "99999")
            small = await call(crm, "u1", "800")
        assert raised.json()["quota"] == 700
        assert small.json()["quota"] == 800
        await crm.pass_time(10, step_s=1)
        assert await crm.balance("u1") == 700

    @pytest.mark.parametrize(
        "quota", ["NaN", "Infinity", "-1", "1e400", str(2**63), "50.5", "50.000", "many", '{"$gt":""}']
    )
    async def test_what_is_no_quota_is_refused_and_shown_to_the_operator(self, crm: CrmOnTrial, quota):
        answer = await call(crm, "u1", quota)
        assert answer.status_code == 400
        assert answer.json()["parameters"][0]["name"] == "quota"
        await crm.settle()
        assert list(await crm.waiting()) == ["user:u1"]
        assert await crm.account("u1") is None

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "?id=u1",
            "?quota=5",
            "?id=&quota=5",
            "?id=%20&quota=5",
            "?id=%00&quota=5",
            f"?id={'x' * 201}&quota=5",
        ],
    )
    async def test_missing_or_malformed_parameters_are_400_and_leave_nothing(self, crm: CrmOnTrial, query):
        answer = await crm.http.post(f"/int/tokens{query}")
        assert answer.status_code == 400
        assert await crm.ledger.db["int_inbox"].count_documents({}) == 0

    async def test_an_empty_quota_is_a_cleared_field(self, crm: CrmOnTrial):
        async with queue_running(crm):
            await call(crm, "u1", "700")
            answer = await call(crm, "u1", "")
        assert (answer.status_code, answer.json()["status"], answer.json()["quota"]) == (
            200,
            "unchanged",
            700,
        )

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"id=5", b"[1]"])
    async def test_any_body_will_do(self, crm: CrmOnTrial, body):
        async with queue_running(crm):
            answer = await crm.http.post("/int/tokens?id=u1&quota=5", content=body)
        assert answer.json()["status"] == "applied"

    async def test_a_bearer_with_the_scope_may_call_and_a_session_may_not(self, crm: CrmOnTrial):
        good = bearer(session_of(crm.services, "crm", scope="int"))
        bad = bearer(session_of(crm.services, "u1", role="operator"))
        transport = httpx.ASGITransport(crm.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://chat.test") as http:
            assert (await http.post("/int/tokens?id=u1&quota=5", headers=bad)).status_code == 401
            assert (await http.post("/int/tokens?id=u1&quota=5", headers=good)).status_code == 202


class TestWebhooks:
    async def test_the_same_event_is_one_row_however_often_it_comes(self, crm: CrmOnTrial):
        crm.simulator.faults.webhooks.copies = 3
        crm.person("Ann", **{USER_ID: "u1", QUOTA: 700})
        await crm.simulator.deliveries.deliver_due()
        (row,) = await crm.ledger.db["int_inbox"].find().to_list(None)
        assert row["copies"] == 2

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"null", b"[]", b"\xff"]
        + [
            orjson.dumps({"meta": meta})
            for meta in ({"id": {"$gt": ""}}, {"id": "1", "entity": ["person"]}, {"id": "1", "entity": {}})
        ],
    )
    async def test_nonsense_is_taken_and_recorded_since_refusing_it_would_cost_a_ban(
        self, crm: CrmOnTrial, body
    ):
        for _ in range(2):
            answer = await crm.http.post("/int/pipedrive/webhooks", content=body)
            assert answer.status_code == 200
        await crm.settle()
        assert await crm.decisions() == {"rejected": 1}

    async def test_other_objects_are_taken_and_ignored(self, crm: CrmOnTrial):
        for entity in ("organization", "deal", "user"):
            meta = {
                "company_id": str(crm.simulator.company.id),
                "id": "1",
                "entity": entity,
                "version": "2.0",
            }
            await crm.http.post("/int/pipedrive/webhooks", json={"meta": meta | {"timestamp": entity}})
        await crm.settle()
        assert (await crm.decisions())["ignored"] >= 2

    async def test_without_the_database_it_is_503_and_comes_again(self):
        services = gateway_services(int_user="pipedrive", int_password="p")
        async with gateway_client(services) as client:
            answer = await client.post("/int/pipedrive/webhooks", content=b"{}", auth=("pipedrive", "p"))
        assert answer.status_code == 503

    async def test_a_database_that_does_not_answer_is_503_while_pipedrive_still_listens(self):
        async with silent_server() as port:
            services = gateway_services(
                int_user="pipedrive", int_password="p", db_url=f"mongodb://127.0.0.1:{port}/chat"
            )
            async with gateway_client(services) as client, asyncio.timeout(5):
                answer = await client.post("/int/pipedrive/webhooks", content=b"{}", auth=("pipedrive", "p"))
        assert answer.status_code == 503


class TestOperator:
    @pytest.fixture
    async def operator(self, crm: CrmOnTrial) -> AsyncGenerator[httpx.AsyncClient]:
        headers = bearer(session_of(crm.services, "op", role="operator"))
        transport = httpx.ASGITransport(crm.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://chat.test", headers=headers
        ) as http:
            yield http

    async def test_what_waits_is_listed_with_what_was_written(
        self, crm: CrmOnTrial, operator: httpx.AsyncClient
    ):
        person = crm.person("Ada", email="ada@example.org", **{QUOTA: -5})
        await crm.settle()
        listed = (await operator.get("/dashboard/integration/waiting")).json()
        assert listed["total"] == 1
        (item,) = listed["items"]
        assert (item["id"], item["why"], item["value"]) == (f"person:{person}", "unknown_person", "-5")
        assert (item["person_id"], item["emails"], item["name"]) == (person, ["ada@example.org"], "Ada")
        assert item["version"] == await version_that_waits(crm, person)

    async def test_it_is_applied_in_the_operators_name(self, crm: CrmOnTrial, operator: httpx.AsyncClient):
        await crm.ledger.ledger.accounts.open(user("u9"))
        person = crm.person("Ada", email="elsewhere@example.org", **{QUOTA: 5_000})
        await crm.settle()
        async with queue_running(crm):
            answer = await operator.post(
                "/dashboard/integration/waiting",
                json={**await seen(operator), "action": "apply", "user_id": "u9"},
            )
        assert (answer.status_code, answer.json()["status"]) == (200, "applied")
        (row,) = await crm.ledger.rows(kind="quota")
        assert (row["user_id"], row["actor"], row["tokens"]) == ("u9", "op", 4_000)
        assert await crm.waiting() == {}
        assert await crm.parts.stores.people.all_linked() == {person: "u9"}

    async def test_what_is_no_quota_is_replaced_by_one(self, crm: CrmOnTrial, operator: httpx.AsyncClient):
        crm.person("Ann", **{USER_ID: "u1", QUOTA: -5})
        await crm.settle()
        body = {**await seen(operator), "action": "apply", "quota": 500}
        async with queue_running(crm):
            assert (await operator.post("/dashboard/integration/waiting", json=body)).json()["quota"] == 500
        assert await crm.balance("u1") == 500

    async def test_it_is_dismissed(self, crm: CrmOnTrial, operator: httpx.AsyncClient):
        crm.person("Ann", **{USER_ID: "u1", QUOTA: -5})
        await crm.settle()
        body = {**await seen(operator), "action": "dismiss"}
        async with queue_running(crm):
            assert (await operator.post("/dashboard/integration/waiting", json=body)).status_code == 200
            assert (await operator.post("/dashboard/integration/waiting", json=body)).status_code == 404
        assert await crm.waiting() == {}

    @pytest.mark.parametrize("decided", [{"action": "apply", "quota": 500}, {"action": "dismiss"}])
    async def test_a_decision_on_what_was_replaced_meanwhile_is_a_conflict_and_changes_nothing(
        self, crm: CrmOnTrial, operator: httpx.AsyncClient, decided: dict[str, Any]
    ):
        person = crm.person("Ann", **{USER_ID: "u1", QUOTA: -5})
        await crm.settle()
        before = await seen(operator)
        crm.clock.pass_s(1)
        crm.edit([person], -6)
        await crm.settle()
        async with queue_running(crm):
            refused = await operator.post("/dashboard/integration/waiting", json={**before, **decided})
            assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
            assert refused.json()["detail"] == "Something newer came meanwhile: please look again"
            assert await crm.ledger.db["int_inbox"].count_documents({"channel": "resolution"}) == 0
            (item,) = (await operator.get("/dashboard/integration/waiting")).json()["items"]
            assert (item["id"], item["value"]) == (before["id"], "-6")
            assert await crm.balance("u1") is None
            again = await operator.post(
                "/dashboard/integration/waiting", json={**await seen(operator), **decided}
            )
        assert again.status_code == 200
        assert await crm.waiting() == {}

    async def test_a_decision_names_the_version_that_was_seen(
        self, crm: CrmOnTrial, operator: httpx.AsyncClient
    ):
        person = crm.person("Ann", **{USER_ID: "u1", QUOTA: -5})
        await crm.settle()
        body = {"id": f"person:{person}", "action": "dismiss"}
        assert (await operator.post("/dashboard/integration/waiting", json=body)).status_code == 400
        assert await crm.waiting() == {f"person:{person}": "negative"}

    async def test_it_is_for_operators(self, crm: CrmOnTrial, operator: httpx.AsyncClient):
        for headers, status in ((bearer(session_of(crm.services, "u1")), 403), ({"Authorization": ""}, 401)):
            for answer in (
                await operator.get("/dashboard/integration/waiting", headers=headers),
                await operator.post(
                    "/dashboard/integration/waiting",
                    json={"id": "x", "version": "w:1", "action": "dismiss"},
                    headers=headers,
                ),
            ):
                assert answer.status_code == status
            assert (
                await operator.post("/dashboard/integration/waiting", json={}, headers=headers)
            ).status_code in {
                status,
                400,
            }


async def seen(operator: httpx.AsyncClient) -> dict[str, str]:
    """Look at the one thing that waits; return what a decision names it by."""
    (item,) = (await operator.get("/dashboard/integration/waiting")).json()["items"]
    return {"id": item["id"], "version": item["version"]}


async def version_that_waits(crm: CrmOnTrial, person_id: int) -> str:
    (row,) = await crm.ledger.db["crm_waiting"].find({"_id": f"person:{person_id}"}).to_list(None)
    return row["version_event"]
