"""Quotas from Pipedrive to the ledger: through webhooks, in any shape."""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from common.integration_inbox import InboxRow
from pipedrive_sync.store.inbox import Result
from simulators.pipedrive.clock import event_time
from simulators.pipedrive.faults import ApiFault
from support.crm import QUOTA, USER_ID, CrmOnTrial, crm_on
from support.ledger import user


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url) as trial:
        yield trial


async def test_a_quota_set_by_hand_reaches_the_balance_with_its_source_and_actor(crm: CrmOnTrial):
    person = crm.person("Ann Lee", **{USER_ID: "u1", QUOTA: 50_000})
    await crm.settle()
    assert await crm.balance("u1") == 50_000
    crm.edit([person], 60_000)
    await crm.settle()
    (first, second) = await crm.ledger.rows(kind="quota")
    assert second["tokens"] == 10_000
    assert second["actor"] == f"pipedrive:user:{crm.simulator.by_hand.user_id}"
    change = crm.simulator.changes[-1]
    assert second["source_event"] == f"w:{crm.simulator.company.id}:{change.id}"
    assert f"person {person}" in second["reason"]
    assert first["source_event"].startswith("read:")
    assert crm.simulator.changes[0].id in first["reason"]


async def test_a_person_is_found_by_e_mail_and_stays_linked_when_it_changes(crm: CrmOnTrial):
    await crm.ledger.ledger.accounts.open(user("u1"))
    person = crm.person("Ada", email="ADA@example.org", **{QUOTA: 5_000})
    await crm.settle()
    assert await crm.balance("u1") == 5_000
    crm.simulator.company.change(
        crm.simulator.company.persons[person],
        {"emails": [{"value": "new@x.example"}]},
        by=crm.simulator.by_hand,
    )
    crm.clock.pass_s(1)
    crm.edit([person], 6_000)
    await crm.settle()
    assert await crm.balance("u1") == 6_000


class TestWhatCannotBeApplied:
    async def test_an_unknown_person_waits_until_the_user_comes(self, crm: CrmOnTrial):
        person = crm.person("Ada", email="ada@example.org", **{QUOTA: 5_000})
        await crm.settle()
        assert await crm.waiting() == {f"person:{person}": "unknown_person"}
        await crm.ledger.ledger.accounts.open(user("u1"))
        await crm.hear_balances()
        await crm.work()
        assert await crm.waiting() == {}
        assert await crm.balance("u1") == 5_000
        assert (await crm.decisions())["applied"] == 1

    async def test_two_users_with_the_same_address_are_not_guessed(self, crm: CrmOnTrial):
        for user_id in ("u1", "u2"):
            await crm.ledger.ledger.accounts.open(user(user_id))
        person = crm.person("Ada", email="ada@example.org", **{QUOTA: 5_000})
        await crm.settle()
        assert await crm.waiting() == {f"person:{person}": "several_users"}
        assert [await crm.balance(u) for u in ("u1", "u2")] == [1_000, 1_000]

    async def test_a_user_is_not_taken_from_another_person(self, crm: CrmOnTrial):
        crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
        await crm.settle()
        second = crm.person("Eve", **{USER_ID: "u1", QUOTA: 9_000})
        await crm.settle()
        assert await crm.waiting() == {f"person:{second}": "user_of_another_person"}
        assert await crm.balance("u1") == 5_000

    @pytest.mark.parametrize(("value", "why"), [(-5, "negative"), (1.5, "not_whole"), (2**60, "too_large")])
    async def test_what_is_no_quota_waits_and_the_next_good_one_ends_that(self, crm: CrmOnTrial, value, why):
        person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
        await crm.settle()
        crm.clock.pass_s(1)
        crm.edit([person], value)
        await crm.settle()
        assert await crm.waiting() == {f"person:{person}": why}
        assert await crm.balance("u1") == 5_000
        crm.clock.pass_s(1)
        crm.edit([person], 6_000)
        await crm.settle()
        assert await crm.waiting() == {}
        assert await crm.balance("u1") == 6_000


class TestADecisionOnWhatWaits:
    @pytest.fixture
    async def person(self, crm: CrmOnTrial) -> int:
        person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
        await crm.settle()
        crm.clock.pass_s(1)
        crm.edit([person], -5)
        await crm.settle()
        return person

    async def replaced_by(self, crm: CrmOnTrial, person: int, value: int) -> None:
        crm.clock.pass_s(1)
        crm.edit([person], value)
        await crm.settle()

    @pytest.mark.parametrize("decided", [{"action": "apply", "quota": 7_000}, {"action": "dismiss"}])
    async def test_is_nothing_to_what_came_after_it(
        self, crm: CrmOnTrial, person: int, decided: dict[str, Any]
    ):
        version = (await what_waits(crm, person))["version_event"]
        await self.replaced_by(crm, person, -6)
        newer = await what_waits(crm, person)
        result = await decide_what_waits(crm, person, version=version, **decided)
        assert result is not None
        assert (result.status, result.why) == ("stale", "something newer waits")
        assert (await crm.decisions())["stale"] == 1
        assert await what_waits(crm, person) == newer
        assert await crm.balance("u1") == 5_000

    @pytest.mark.parametrize(
        ("decided", "balance"), [({"action": "apply", "quota": 7_000}, 7_000), ({"action": "dismiss"}, 5_000)]
    )
    async def test_is_carried_out_while_it_is_the_one_that_waits(
        self, crm: CrmOnTrial, person: int, decided: dict[str, Any], balance: int
    ):
        version = (await what_waits(crm, person))["version_event"]
        await decide_what_waits(crm, person, version=version, **decided)
        assert await crm.waiting() == {}
        assert await crm.balance("u1") == balance

    async def test_that_names_no_version_is_about_whatever_waits(self, crm: CrmOnTrial, person: int):
        await self.replaced_by(crm, person, -6)
        await decide_what_waits(crm, person, action="apply", quota=7_000)
        assert await crm.waiting() == {}
        assert await crm.balance("u1") == 7_000


class TestClearedField:
    @pytest.mark.parametrize("form", ["null", "absent"])
    @pytest.mark.parametrize(("policy", "balance"), [("keep", 5_000), ("default", 700), ("suspend", 0)])
    async def test_it_follows_the_setting(self, db_url: str, policy, balance, form):
        async with crm_on(db_url, pipedrive_on_cleared=policy, token_grant=700) as crm:
            crm.simulator.faults.webhooks.cleared = form
            person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
            await crm.settle()
            crm.clock.pass_s(1)
            crm.edit([person], None)
            await crm.settle()
            await crm.pass_time(60)
            await crm.api.reconcile.full()
            assert await crm.balance("u1") == balance
            assert await crm.waiting() == {}

    @pytest.mark.parametrize(("policy", "balance"), [("keep", 5_000), ("default", 700), ("suspend", 0)])
    async def test_so_does_one_that_waits_for_its_user_where_nothing_can_be_read(
        self, db_url: str, policy, balance
    ):
        async with crm_on(db_url, pipedrive_token="", pipedrive_on_cleared=policy, token_grant=700) as crm:
            for quota in ("5000", ""):
                said = {"int": {"email": "ada@example.org"}}
                await crm.http.post("/int/tokens", params={"id": "pd:8", "quota": quota}, json=said)
                await crm.empty_queue()
                crm.clock.pass_s(1)
            assert await crm.waiting() == {"person:8": "unknown_person"}
            await crm.ledger.ledger.accounts.open(user("u1"))
            crm.clock.pass_s(3_600)
            await crm.parts.retry.once()
            assert await crm.balance("u1") == balance
            assert await crm.waiting() == {}


class TestMergesAndDeletions:
    async def test_a_merged_person_hands_its_user_over(self, crm: CrmOnTrial):
        loser = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
        winner = crm.person("Ann Lee")
        await crm.settle()
        crm.clock.pass_s(1)
        company = crm.simulator.company
        company.merge(company.persons[loser], company.persons[winner], by=crm.simulator.by_hand)
        await crm.pass_time(30)
        crm.edit([winner], 6_000)
        await crm.settle()
        assert await crm.balance("u1") == 6_000
        assert await crm.parts.stores.people.all_linked() == {winner: "u1"}

    @pytest.mark.parametrize(("policy", "balance"), [("keep", 5_000), ("suspend", 0)])
    async def test_a_deleted_person_leaves_the_user_as_the_setting_says(self, db_url: str, policy, balance):
        async with crm_on(db_url, pipedrive_on_deleted=policy) as crm:
            person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
            await crm.settle()
            crm.clock.pass_s(1)
            company = crm.simulator.company
            company.delete(company.persons[person], by=crm.simulator.by_hand)
            await crm.pass_time(60)
            assert await crm.balance("u1") == balance
            assert await crm.parts.stores.people.all_linked() == {}
            await crm.api.reconcile.full()
            assert await crm.balance("u1") == balance

    async def test_a_late_webhook_of_a_deleted_person_waits_since_nobody_can_be_asked(self, crm: CrmOnTrial):
        person = await self.deleted_before_an_edit_comes(crm)
        assert await crm.balance("u1") == 5_000
        assert await crm.parts.stores.people.all_linked() == {}
        waits = {f"person:{person}": "not_in_pipedrive"}
        assert await crm.waiting() == waits
        # That the person is gone may be told once more, as of another time.
        gone = await crm.parts.stores.people.find(person)
        assert gone is not None
        assert gone.gone_at is not None
        for at in (crm.clock.now() - timedelta(hours=1), crm.clock.now()):
            await forge(crm, person, 0, action="delete", at=at)
            assert await crm.waiting() == waits
            found = await crm.parts.stores.people.find(person)
            assert found is not None
            assert found.gone_at == max(gone.gone_at, at)
        await decide_what_waits(crm, person, action="apply")
        assert await crm.balance("u1") == 6_000
        assert await crm.parts.stores.people.all_linked() == {}
        assert await crm.waiting() == {}

    async def test_a_late_webhook_is_nothing_to_a_user_with_a_new_person(self, crm: CrmOnTrial):
        person = await self.deleted_before_an_edit_comes(crm)
        other = crm.person("Ann again", **{USER_ID: "u1", QUOTA: 7_000})
        await crm.settle()
        await decide_what_waits(crm, person, action="apply")
        assert await crm.balance("u1") == 7_000
        assert await crm.parts.stores.people.all_linked() == {other: "u1"}
        assert await crm.waiting() == {}

    async def test_a_late_webhook_changes_nothing_where_a_deletion_suspends(self, db_url: str):
        async with crm_on(db_url, pipedrive_on_deleted="suspend") as crm:
            await self.deleted_before_an_edit_comes(crm)
            assert await crm.balance("u1") == 0
            assert await crm.waiting() == {}

    async def deleted_before_an_edit_comes(self, crm: CrmOnTrial) -> int:
        person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
        await crm.settle()
        crm.simulator.faults.webhooks.delay_s_max = 100
        crm.edit([person], 6_000)
        crm.simulator.faults.webhooks.delay_s_max = 0
        crm.clock.pass_s(1)
        company = crm.simulator.company
        company.delete(company.persons[person], by=crm.simulator.by_hand)
        await crm.settle()
        await crm.pass_time(120)
        return person


class TestTrust:
    async def test_a_forged_raise_is_read_in_pipedrive_and_the_truth_wins(self, crm: CrmOnTrial):
        person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
        await crm.settle()
        crm.clock.pass_s(60)
        await forge(crm, person, 900_000)
        assert await crm.balance("u1") == 5_000

    async def test_a_small_forged_change_is_put_right_some_seconds_later(self, crm: CrmOnTrial):
        person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
        await crm.settle()
        crm.clock.pass_s(60)
        await forge(crm, person, 6_000)
        assert await crm.balance("u1") == 6_000
        await crm.pass_time(10, step_s=1)
        assert await crm.balance("u1") == 5_000

    async def test_a_forged_webhook_about_nobody_waits_and_gives_nothing(self, crm: CrmOnTrial):
        await crm.ledger.ledger.accounts.open(user("u1"))
        await forge(crm, 4_711, 900_000, user_id="u1")
        assert await crm.balance("u1") == 1_000
        assert await crm.waiting() == {"person:4711": "not_in_pipedrive"}

    async def test_without_credentials_nothing_is_stored(self, crm: CrmOnTrial):
        for auth in (None, ("pipedrive", "wrong"), ("", "")):
            for path in ("/int/pipedrive/webhooks", "/int/tokens?id=u1&quota=5"):
                answer = await crm.http.post(path, content=b"{}", auth=auth or (lambda request: request))
                assert answer.status_code == 401
        assert await crm.ledger.db["int_inbox"].count_documents({}) == 0

    async def test_while_pipedrive_cannot_be_asked_a_raise_waits_and_then_goes_on(self, crm: CrmOnTrial):
        person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
        await crm.settle()
        crm.clock.pass_s(1)
        crm.simulator.faults.api = [ApiFault(kind="error", times=None)]
        crm.edit([person], 500_000)
        await crm.settle()
        assert await crm.waiting() == {f"person:{person}": "unconfirmed"}
        crm.simulator.faults.clear()
        await crm.pass_time(120)
        assert await crm.balance("u1") == 500_000
        assert await crm.waiting() == {}


async def test_a_ledger_that_is_away_loses_nothing(crm: CrmOnTrial):
    crm.calls.is_away = True
    person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
    with pytest.raises(Exception, match="try again"):
        await crm.settle()
    crm.queue.clear()
    crm.calls.is_away = False
    await crm.pass_time(60)
    assert await crm.balance("u1") == 5_000
    assert await crm.parts.stores.people.all_linked() == {person: "u1"}


async def test_what_comes_before_setup_is_not_lost(db_url: str):
    async with crm_on(db_url) as crm:
        crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
        quota = crm.parts.known.keys.quota
        await crm.parts.stores.cursors.write("fields", {"quota": None})
        await crm.parts.known.load()
        await crm.settle()
        assert await crm.decisions() == {}
        await crm.parts.stores.cursors.write("fields", {"quota": quota})
        await crm.pass_time(60)
        assert await crm.balance("u1") == 5_000


async def forge(
    crm: CrmOnTrial,
    person_id: int,
    quota: int,
    *,
    user_id: str | None = None,
    action: str = "change",
    at: datetime | None = None,
) -> None:
    """Post a webhook that Pipedrive never sent, with the right password."""
    at = at or crm.clock.now()
    company = crm.simulator.company
    key, user_key = (company.field_named(title).code for title in (QUOTA, USER_ID))
    fields = {key: {"type": "double", "value": quota}}
    if user_id is not None:
        fields[user_key] = {"type": "varchar", "value": user_id}
    body = {
        "data": {"id": person_id, "name": "Ann", "custom_fields": fields},
        "previous": {"custom_fields": {key: None}},
        "meta": {
            "action": action,
            "entity": "person",
            "entity_id": str(person_id),
            "company_id": str(company.id),
            "user_id": "1",
            "id": f"forged-{quota}-{at.timestamp()}",
            "timestamp": event_time(at),
            "change_source": "app",
            "version": "2.0",
        },
    }
    answer = await crm.http.post("/int/pipedrive/webhooks", json=body)
    assert answer.status_code == 200
    await crm.settle()


async def what_waits(crm: CrmOnTrial, person_id: int) -> dict[str, Any]:
    (row,) = await crm.ledger.db["crm_waiting"].find({"_id": f"person:{person_id}"}).to_list(None)
    return row


async def decide_what_waits(crm: CrmOnTrial, person_id: int, **decided: Any) -> Result | None:
    """Do what an operator does who looked at it."""
    row = InboxRow(
        id="resolution",
        channel="resolution",
        received_at=crm.clock.now(),
        body=orjson.dumps({"key": f"person:{person_id}", **decided}).decode(),
        actor="op",
    )
    return await crm.parts.handle.handle(row)
