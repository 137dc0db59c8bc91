"""What is known of the account: setup in another process counts at once, and null is not an answer."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from pipedrive_sync.commands.setup import Setup
from pipedrive_sync.pipedrive.client import PipedriveRefused
from pipedrive_sync.pipedrive.gate import PipedriveAway
from pipedrive_sync.pipedrive.known import Known
from simulators.pipedrive.faults import ApiFault
from support.crm import BALANCE, QUOTA, USED, USER_ID, CrmOnTrial, crm_on

NAMES = {"quota": QUOTA, "used": USED, "balance": BALANCE, "user_id": USER_ID}


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url) as trial:
        yield trial


async def lose_the_quota_field(crm: CrmOnTrial) -> None:
    crm.simulator.company.delete_field(crm.simulator.company.field_named(QUOTA).code)
    await crm.parts.known.refresh(crm.api.client)
    assert crm.parts.known.keys.quota is None


async def test_a_setup_in_another_process_counts_for_the_next_notification(crm: CrmOnTrial):
    await lose_the_quota_field(crm)
    other = Known(crm.parts.stores.cursors, NAMES, can_ask=True)
    async for _ in Setup(crm.api.client, other, NAMES, None).run():
        pass
    crm.person("Ann", **{USER_ID: "u1", QUOTA: 5})
    await crm.settle()
    assert await crm.balance("u1") == 5


async def test_a_deleted_field_is_not_taken_up_again_from_what_was_kept(crm: CrmOnTrial):
    await lose_the_quota_field(crm)
    await crm.parts.known.load()
    assert crm.parts.known.keys.quota is None


async def test_a_reconciliation_finds_a_field_that_was_made_meanwhile(crm: CrmOnTrial):
    await crm.parts.stores.cursors.write("fields", {"quota": None})
    await crm.parts.known.load()
    crm.person("Ann", **{USER_ID: "u1", QUOTA: 5})
    crm.clock.pass_s(timedelta(minutes=2).total_seconds())
    await crm.api.reconcile.full()
    assert await crm.balance("u1") == 5


async def test_a_refused_webhook_leaves_the_fields_known(crm: CrmOnTrial):
    known = Known(crm.parts.stores.cursors, NAMES, can_ask=True)
    crm.simulator.faults.api = [ApiFault(kind="forbidden", path="/v1/webhooks", times=None)]
    with pytest.raises(PipedriveRefused):
        async for _ in Setup(crm.api.client, known, NAMES, crm.api.supervise).run():
            pass
    assert known.compared.is_set()
    assert known.keys.quota is not None


async def test_null_where_data_should_be_means_that_pipedrive_is_away(crm: CrmOnTrial):
    crm.simulator.faults.api = [ApiFault(kind="no_data", times=None)]
    keys = crm.parts.known.keys
    for ask in (
        crm.api.client.account(),
        crm.api.client.fields(),
        crm.api.client.person(1, keys),
        crm.api.client.persons([1], keys),
    ):
        with pytest.raises(PipedriveAway):
            await ask


class TestADeletedFieldIsNotAnEmptiedOne:
    @pytest.fixture
    async def suspending(self, db_url: str) -> AsyncGenerator[CrmOnTrial]:
        async with crm_on(db_url, pipedrive_on_cleared="suspend") as trial:
            yield trial

    async def linked(self, crm: CrmOnTrial) -> list[int]:
        found = [crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: 5_000}) for n in range(3)]
        await crm.settle()
        await crm.pass_time(60)
        return found

    async def balances(self, crm: CrmOnTrial) -> list[int | None]:
        return [await crm.balance(f"u{n}") for n in range(3)]

    async def test_the_full_comparison_changes_nobody(self, suspending: CrmOnTrial):
        await self.linked(suspending)
        suspending.simulator.company.delete_field(suspending.simulator.company.field_named(QUOTA).code)
        await suspending.api.reconcile.full()
        assert await self.balances(suspending) == [5_000] * 3

    async def test_neither_do_the_comparison_of_what_changed_and_a_later_look(self, suspending: CrmOnTrial):
        found = await self.linked(suspending)
        await suspending.api.reconcile.full()
        company = suspending.simulator.company
        company.delete_field(company.field_named(QUOTA).code)
        suspending.receiver.is_down = True
        for person in found:
            company.change(company.persons[person], {"name": "New"}, by=suspending.simulator.by_hand)
        suspending.clock.pass_s(120)
        await suspending.parts.stores.people.confirm_later(found[0], suspending.clock.now())
        await suspending.api.confirm.once()
        await suspending.api.reconcile.recent()
        assert await self.balances(suspending) == [5_000] * 3

    async def test_nor_a_field_that_another_process_made_anew_meanwhile(self, suspending: CrmOnTrial):
        found = await self.linked(suspending)
        company = suspending.simulator.company
        company.delete_field(company.field_named(QUOTA).code)
        other = Known(suspending.parts.stores.cursors, NAMES, can_ask=True)
        async for _ in Setup(suspending.api.client, other, NAMES, None).run():
            pass
        suspending.clock.pass_s(60)
        await suspending.parts.stores.people.confirm_later(found[0], suspending.clock.now())
        await suspending.api.confirm.once()
        assert await self.balances(suspending) == [5_000] * 3

    async def test_many_emptied_ones_cost_one_look_at_the_fields(self, suspending: CrmOnTrial):
        found = await self.linked(suspending)
        await suspending.api.reconcile.full()
        suspending.receiver.is_down = True
        suspending.edit(found, None)
        suspending.clock.pass_s(120)
        asked = len(suspending.simulator.limits.calls)
        assert await suspending.api.reconcile.recent() == 3
        assert await self.balances(suspending) == [0] * 3
        paths = [path for _, _, path, _ in suspending.simulator.limits.calls[asked:]]
        assert paths == ["/v2/persons", "/v2/personFields"]
