"""Quotas from Pipedrive to the ledger: through webhooks, in any shape and any order."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import orjson
import pytest

from common.integration_inbox import InboxRow
from gateway.integration.identity import webhook_id
from pipedrive_sync.domain.decide import Apply, InForce, Policy, Wait, decide
from pipedrive_sync.domain.notice import QuotaNotice
from pipedrive_sync.domain.webhook import read_webhook
from simulators.pipedrive.clock import event_time
from simulators.pipedrive.faults import ApiFault
from simulators.pipedrive.records import Change
from simulators.pipedrive.webhook_shapes import webhook_body
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

    async def test_a_late_webhook_of_a_deleted_person_changes_nothing(self, crm: CrmOnTrial):
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
        assert await crm.parts.stores.people.all_linked() == {}
        assert await crm.balance("u1") == 5_000


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


@dataclass
class State:
    """All that is left in the end: quota, balance, grant and version of users, what waits, who is who."""

    accounts: dict[str, tuple[int, int, int, str]]
    waiting: dict[str, str]
    linked: dict[int, str]


class TestOrder:
    """Any order of the same notifications, with any repeats, ends as in order."""

    def recorded(self, crm: CrmOnTrial, count: int) -> list[InboxRow]:
        """Changes of twenty people, as webhooks: raises and cuts, the same value again, cleared, nonsense."""
        people = [crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: 100}) for n in range(20)]
        while len(crm.simulator.changes) < count:
            crm.clock.pass_s(crm.random.choice([0.001, 0.01, 0.7, 3]))
            n = len(crm.simulator.changes)
            crm.edit([crm.random.choice(people)], crm.random.choice([n, 2 * n, n % 7, None, -n]))
        return [webhook_row(crm, change) for change in crm.simulator.changes]

    async def state_after(self, crm: CrmOnTrial, rows: list[InboxRow]) -> State:
        """Handle these messages, twenty at a time."""
        inbox = {row.id: row.document() for row in rows}
        await crm.ledger.db["int_inbox"].insert_many(inbox.values())
        for start in range(0, len(rows), 20):
            await asyncio.gather(*(crm.parts.handle.handle(row) for row in rows[start : start + 20]))
        found = await crm.ledger.db["accounts"].find().to_list(None)
        accounts = {a["_id"]: (a["quota"], a["balance"], a["token_grant"], a["quota_event"]) for a in found}
        return State(accounts, await crm.waiting(), await crm.parts.stores.people.all_linked())

    def state_in_order(self, crm: CrmOnTrial, rows: list[InboxRow], policy: Policy) -> State:
        """Decide one after the other, as it happened; nobody has used anything."""
        state = State({}, {}, {})
        in_force: dict[str, InForce] = {}
        for row in rows:
            notice = read_webhook(row, keys=crm.parts.known.keys, ourselves=crm.parts.known.ourselves)
            assert isinstance(notice, QuotaNotice)
            user_id, person_id = notice.subject.user_ref, notice.subject.person_id
            assert user_id is not None
            assert person_id is not None
            match decide(notice, in_force.get(user_id, InForce()), policy):
                case Apply(tokens=tokens):
                    in_force[user_id] = InForce(quota=tokens, version=notice.version)
                    state.accounts[user_id] = (tokens, tokens, tokens, notice.version.event)
                    state.linked[person_id] = user_id
                    state.waiting.pop(notice.subject.key, None)
                case Wait(why=why):
                    state.waiting[notice.subject.key] = why
                case _:
                    pass
        return state

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_a_thousand_shuffled_with_duplicates_without_a_look_at_pipedrive(
        self, db_url: str, seed: int
    ):
        async with crm_on(db_url, pipedrive_token="") as crm:
            crm.random.seed(seed)
            rows = self.recorded(crm, 1_000)
            shuffled = [*rows, *crm.random.choices(rows, k=200)]
            crm.random.shuffle(shuffled)
            policy = Policy(on_cleared="keep", default_quota=0, confirm_factor=2, can_ask=False)
            in_order = self.state_in_order(crm, rows, policy)
            assert await self.state_after(crm, shuffled) == in_order
            assert len(in_order.accounts) == 20
            assert in_order.waiting
            await crm.ledger.settle_down()
            assert await crm.ledger.violations() == []

    async def test_with_both_kinds_of_times_and_reading_the_end_is_what_pipedrive_shows(self, db_url: str):
        async with crm_on(
            db_url, limits={"burst": 1_000, "daily_tokens": 10**6}, pipedrive_budget_share=1
        ) as crm:
            faults = crm.simulator.faults.webhooks
            faults.copies, faults.is_shuffled, faults.delay_s_max, faults.timestamps = 2, True, 120, "epoch"
            people = [crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: 100}) for n in range(10)]
            for n in range(100):
                crm.clock.pass_s(crm.random.choice([0.001, 0.3, 2]))
                crm.edit([crm.random.choice(people)], n)
            await crm.pass_time(200, writes=False)
            shown = {f"u{n}": crm.shown(person, QUOTA) for n, person in enumerate(people)}
            assert {user_id: await crm.balance(user_id) for user_id in shown} == shown

    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_with_people_who_are_merged_and_deleted_the_end_is_what_pipedrive_shows(
        self, db_url: str, seed: int
    ):
        limits = {"burst": 1_000, "daily_tokens": 10**6}
        async with crm_on(
            db_url, limits=limits, pipedrive_budget_share=1, pipedrive_on_deleted="suspend"
        ) as crm:
            crm.random.seed(seed)
            faults, company = crm.simulator.faults.webhooks, crm.simulator.company
            people = [crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: 100}) for n in range(12)]
            await crm.pass_time(30)
            faults.copies, faults.is_shuffled, faults.delay_s_max = 2, True, 60
            there = dict(enumerate(people))
            for turn in range(120):
                crm.clock.pass_s(crm.random.choice([0.001, 0.3, 2]))
                crm.edit([crm.random.choice(list(there.values()))], 100 + turn % 90)
                if turn % 40 == 20:
                    number = crm.random.choice(list(there))
                    company.delete(company.persons[there.pop(number)], by=crm.simulator.by_hand)
                if turn % 40 == 30:
                    number = crm.random.choice(list(there))
                    loser, there[number] = there[number], crm.person(f"Winner {turn}")
                    winner = company.persons[there[number]]
                    company.merge(company.persons[loser], winner, by=crm.simulator.by_hand)
                    crm.clock.pass_s(1)
                    crm.edit([winner.id], 500 + turn)
            await crm.pass_time(200, writes=False)
            shown = {f"u{n}": crm.shown(there[n], QUOTA) if n in there else 0 for n in range(12)}
            assert {user_id: await crm.balance(user_id) for user_id in shown} == shown
            assert await crm.waiting() == {}


def webhook_row(crm: CrmOnTrial, change: Change) -> InboxRow:
    body = webhook_body(
        change,
        crm.simulator.company.fields,
        company_id=crm.simulator.company.id,
        webhook_id=1,
        owner_id=1,
        attempt=1,
    )
    text = orjson.dumps(body).decode()
    return InboxRow(
        id=webhook_id(text), channel="webhook", received_at=crm.clock.now(), body=text, actor="pipedrive"
    )


async def forge(crm: CrmOnTrial, person_id: int, quota: int, *, user_id: str | None = None) -> None:
    """Post a webhook that Pipedrive never sent, with the right password."""
    company = crm.simulator.company
    key, user_key = (company.field_named(title).code for title in (QUOTA, USER_ID))
    fields = {key: {"type": "double", "value": quota}}
    if user_id is not None:
        fields[user_key] = {"type": "varchar", "value": user_id}
    body = {
        "data": {"id": person_id, "name": "Ann", "custom_fields": fields},
        "previous": {"custom_fields": {key: None}},
        "meta": {
            "action": "change",
            "entity": "person",
            "entity_id": str(person_id),
            "company_id": str(company.id),
            "user_id": "1",
            "id": f"forged-{quota}",
            "timestamp": event_time(crm.clock.now()),
            "change_source": "app",
            "version": "2.0",
        },
    }
    answer = await crm.http.post("/int/pipedrive/webhooks", json=body)
    assert answer.status_code == 200
    await crm.settle()
