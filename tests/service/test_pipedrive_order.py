"""Any order of the same notifications of Pipedrive, with any repeats, ends as in order."""

import asyncio
import itertools
from dataclasses import dataclass

import orjson
import pytest

from common.integration_inbox import InboxRow
from gateway.integration.identity import webhook_id
from pipedrive_sync.domain.decide import Apply, InForce, Policy, Wait, decide
from pipedrive_sync.domain.notice import PersonGone, QuotaNotice, Subject
from pipedrive_sync.domain.webhook import read_webhook
from simulators.pipedrive.records import Change
from simulators.pipedrive.webhook_shapes import webhook_body
from support.crm import QUOTA, USER_ID, CrmOnTrial, crm_on


@dataclass
class State:
    """All that is left in the end: quota, balance, grant and version of users, what waits, who is who."""

    accounts: dict[str, tuple[int, int, int, str]]
    waiting: dict[str, str]
    linked: dict[int, str]


class TestOrder:
    """Any order of the same notifications, with any repeats, ends as in order."""

    def recorded(self, crm: CrmOnTrial, count: int) -> list[InboxRow]:
        """Changes of twenty people, as webhooks: raises and cuts, the same value again, cleared, nonsense.

        Half of the people are deleted by and by.
        """
        people = [crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: 100}) for n in range(20)]
        company = crm.simulator.company
        while len(crm.simulator.changes) < count:
            crm.clock.pass_s(crm.random.choice([0.001, 0.01, 0.7, 3]))
            n = len(crm.simulator.changes)
            crm.edit([crm.random.choice(people)], crm.random.choice([n, 2 * n, n % 7, None, -n]))
            if len(people) > 10 and crm.random.random() < 20 / count:
                person = people.pop(crm.random.randrange(len(people)))
                company.delete(company.persons[person], by=crm.simulator.by_hand)
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
            if isinstance(notice, PersonGone):
                state.linked.pop(notice.person_id, None)
                state.waiting.pop(Subject(person_id=notice.person_id).key, None)
                continue
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
            assert (len(in_order.accounts), len(in_order.linked)) == (20, 10)
            assert in_order.waiting
            await crm.ledger.settle_down()
            assert await crm.ledger.violations() == []

    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    async def test_a_deletion_may_come_at_any_time_without_a_look_at_pipedrive(
        self, db_url: str, order: tuple[int, ...]
    ):
        async with crm_on(db_url, pipedrive_token="") as crm:
            person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
            for quota in (7_000, 6_000):
                crm.clock.pass_s(1)
                crm.edit([person], quota)
            company = crm.simulator.company
            company.delete(company.persons[person], by=crm.simulator.by_hand)
            rows = [webhook_row(crm, change) for change in crm.simulator.changes]
            for number in order:
                await self.state_after(crm, [rows[number]])
            assert await crm.balance("u1") == 6_000
            assert await crm.parts.stores.people.all_linked() == {}
            assert await crm.waiting() == {}

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
