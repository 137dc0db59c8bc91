"""The gate while Pipedrive is away or we are too fast: little is asked, and nothing is paid for in vain."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from common.metrics import CRM_PAUSED
from pipedrive_sync.pipedrive.client import PipedriveClient
from pipedrive_sync.pipedrive.gate import PipedriveAway
from simulators.pipedrive.faults import ApiFault
from support.crm import QUOTA, USER_ID, CrmOnTrial, crm_on

HOUR_S = 3_600


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url) as trial:
        yield trial


async def ask(client: PipedriveClient) -> bool:
    try:
        await client.account()
    except PipedriveAway:
        return False
    return True


async def test_an_hour_without_pipedrive_costs_little_and_ends_within_a_minute(crm: CrmOnTrial):
    crm.simulator.faults.api = [ApiFault(kind="error", times=None)]
    spent = await crm.api.client.gate.spent_today()
    asked = len(crm.simulator.limits.calls)
    for _ in range(HOUR_S):
        assert not await ask(crm.api.client)
        crm.clock.pass_s(1)
    assert 60 <= len(crm.simulator.limits.calls) - asked <= 70
    assert await crm.api.client.gate.spent_today() - spent <= 140
    crm.simulator.faults.clear()
    crm.clock.pass_s(60)
    assert await ask(crm.api.client)


async def test_after_a_success_the_next_failure_is_tried_again_soon(crm: CrmOnTrial):
    for _ in range(3):
        crm.simulator.faults.api = [ApiFault(kind="error")]
        assert not await ask(crm.api.client)
        crm.clock.pass_s(1)
        assert await ask(crm.api.client)


async def test_people_to_be_looked_at_stay_due_while_pipedrive_is_away(crm: CrmOnTrial):
    person = crm.person("Ann", **{USER_ID: "u1", QUOTA: 5_000})
    await crm.settle()
    await crm.pass_time(20)
    crm.simulator.faults.api = [ApiFault(kind="error", times=None)]
    crm.edit([person], 6_000)
    asked = len(crm.simulator.limits.calls)
    await crm.pass_time(600, step_s=1)
    assert len(crm.simulator.limits.calls) - asked <= 20
    crm.simulator.faults.clear()
    await crm.pass_time(70)
    assert await crm.parts.stores.people.to_confirm(now=crm.clock.now(), people_max=10) == {}


async def test_a_call_that_never_reached_pipedrive_is_not_paid_for(crm: CrmOnTrial):
    spent = await crm.api.client.gate.spent_today()
    crm.to_pipedrive.is_down = True
    assert not await ask(crm.api.client)
    assert await crm.api.client.gate.spent_today() == spent


async def test_a_connection_that_ends_before_the_answer_is_replaced_once(crm: CrmOnTrial):
    """As one does that was idle for just as long as a server keeps it."""
    crm.to_pipedrive.cuts = 1
    assert await ask(crm.api.client)
    crm.to_pipedrive.cuts = 3
    assert not await ask(crm.api.client)
    assert crm.to_pipedrive.cuts == 1
    # Pipedrive fails, then, and is left alone for a while.
    assert not await ask(crm.api.client)
    assert crm.to_pipedrive.cuts == 1


async def test_what_would_be_made_twice_is_not_sent_again(crm: CrmOnTrial):
    crm.to_pipedrive.cuts = 2
    with pytest.raises(PipedriveAway):
        await crm.api.client.add_field("x", "double")
    assert crm.to_pipedrive.cuts == 1


async def test_too_fast_holds_back_all_calls(crm: CrmOnTrial):
    crm.simulator.faults.api = [ApiFault(kind="burst")]
    calls = crm.simulator.limits.calls
    asked = len(calls)
    await asyncio.gather(ask(crm.api.client), ask(crm.api.client), ask(crm.api.client))
    first, *others = [at for at, *_ in calls[asked:]]
    later = [at for at in others if at > first]
    assert len(later) >= 1
    assert all((at - first).total_seconds() >= 2 for at in later)


async def test_the_metric_of_a_pause_ends_with_the_pause(crm: CrmOnTrial):
    crm.simulator.faults.api = [ApiFault(kind="blocked")]
    assert not await ask(crm.api.client)
    assert CRM_PAUSED._value.get() == 1
    crm.clock.pass_s(HOUR_S)
    assert await ask(crm.api.client)
    assert CRM_PAUSED._value.get() == 0
    assert (await crm.parts.stores.cursors.read("pause"))["until"] is None
