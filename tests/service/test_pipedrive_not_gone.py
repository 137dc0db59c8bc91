"""Nobody is taken for gone, or for emptied, by an answer that does not say so."""

from collections.abc import AsyncGenerator

import pytest

from simulators.pipedrive.faults import ApiFault
from support.crm import BALANCE, QUOTA, USER_ID, CrmOnTrial, crm_on

QUOTA_TOKENS = 5_000


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url, pipedrive_on_deleted="suspend", pipedrive_on_cleared="suspend") as trial:
        yield trial


async def linked_person(crm: CrmOnTrial) -> int:
    person = crm.person("Ann", **{USER_ID: "u1", QUOTA: QUOTA_TOKENS})
    await crm.settle()
    await crm.pass_time(60)
    assert crm.shown(person, BALANCE) == QUOTA_TOKENS
    return person


async def have_both_due(crm: CrmOnTrial, person: int) -> None:
    """A look at the person is due, and a write of its figures."""
    crm.clock.pass_s(1_000)
    await crm.parts.stores.people.confirm_later(person, crm.clock.now())
    await crm.parts.stores.outbox.write_again("u1")


async def start_anew(crm: CrmOnTrial) -> None:
    """As another process does, which has not asked Pipedrive anything yet."""
    crm.parts = crm.make_parts()
    await crm.parts.known.load()


def delete_unseen(crm: CrmOnTrial, person: int) -> None:
    crm.receiver.is_down = True
    company = crm.simulator.company
    company.delete(company.persons[person], by=crm.simulator.by_hand)


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_a_page_of_a_proxy_tells_of_nobody(crm: CrmOnTrial, method: str):
    person = await linked_person(crm)
    crm.simulator.faults.api = [ApiFault(kind="page", method=method, path="/v2/persons/", times=None)]
    await have_both_due(crm, person)
    await crm.pass_time(120)
    assert await crm.parts.stores.people.all_linked() == {person: "u1"}
    crm.simulator.faults.clear()
    await crm.pass_time(300)
    assert await crm.parts.stores.people.to_confirm(now=crm.clock.now(), people_max=9) == {}
    assert await crm.parts.stores.outbox.due(rows_max=9) == []
    assert await crm.balance("u1") == QUOTA_TOKENS


async def test_a_success_that_was_none_is_tried_again(crm: CrmOnTrial):
    person = await linked_person(crm)
    crm.simulator.faults.api = [ApiFault(kind="unsuccessful", method="PATCH", times=2)]
    crm.edit([person], 7, title=BALANCE)
    await crm.pass_time(1_800, step_s=60)
    assert crm.shown(person, BALANCE) == QUOTA_TOKENS


async def test_before_the_fields_are_found_there_nobody_is_looked_at_or_written(crm: CrmOnTrial):
    person = await linked_person(crm)
    delete_unseen(crm, person)
    await have_both_due(crm, person)
    await start_anew(crm)
    asked = len(crm.simulator.limits.calls)
    await crm.api.confirm.once()
    await crm.api.send.once()
    assert len(crm.simulator.limits.calls) == asked
    assert await crm.parts.stores.people.all_linked() == {person: "u1"}
    assert await crm.balance("u1") == QUOTA_TOKENS
    await crm.parts.known.refresh(crm.api.client)
    await crm.api.confirm.once()
    assert await crm.parts.stores.people.all_linked() == {}


async def test_without_the_quotas_field_a_large_raise_is_not_read_as_emptied(crm: CrmOnTrial):
    await linked_person(crm)
    company = crm.simulator.company
    company.delete_field(company.field_named(QUOTA).code)
    await crm.parts.known.refresh(crm.api.client)
    asked = len(crm.simulator.limits.calls)
    await crm.http.post("/int/tokens", params={"id": "u1", "quota": str(10 * QUOTA_TOKENS)})
    await crm.empty_queue()
    assert len(crm.simulator.limits.calls) == asked
    assert await crm.balance("u1") == QUOTA_TOKENS
    assert list((await crm.waiting()).values()) == ["unconfirmed"]


async def test_without_the_quotas_field_a_look_at_somebody_waits(crm: CrmOnTrial):
    person = await linked_person(crm)
    company = crm.simulator.company
    company.delete_field(company.field_named(QUOTA).code)
    await crm.parts.known.refresh(crm.api.client)
    await have_both_due(crm, person)
    await crm.api.confirm.once()
    assert await crm.balance("u1") == QUOTA_TOKENS
    assert person in await crm.parts.stores.people.to_confirm(now=crm.clock.now(), people_max=9)
