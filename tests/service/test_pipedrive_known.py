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
