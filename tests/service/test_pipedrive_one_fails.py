"""One person that fails costs little, and keeps nobody else waiting."""

from collections.abc import AsyncGenerator

import pytest

from simulators.pipedrive.faults import ApiFault
from support.crm import BALANCE, QUOTA, USED, USER_ID, CrmOnTrial, crm_on
from support.ledger import finished

FULL = 10_000
MINUTE_S = 60


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url) as trial:
        yield trial


async def people(crm: CrmOnTrial, count: int) -> list[int]:
    """Linked people whose figures Pipedrive shows already."""
    found = [crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: FULL}) for n in range(count)]
    await crm.settle()
    await crm.pass_time(20)
    return found


def break_one(crm: CrmOnTrial, method: str, person: int) -> None:
    fault = ApiFault(kind="error", method=method, path=f"/v2/persons/{person}", times=None)
    crm.simulator.faults.api = [fault]


def calls(crm: CrmOnTrial, method: str, person: int) -> int:
    return len(
        [
            1
            for _, how, path, _ in crm.simulator.limits.calls
            if (how, path) == (method, f"/v2/persons/{person}")
        ]
    )


async def use_up(crm: CrmOnTrial, user_id: str, run_id: str) -> None:
    run = finished(run_id, FULL, clock=crm.clock, user_id=user_id)
    await crm.ledger.store_run(run)
    await crm.ledger.ledger.settlements.book([run])


async def due_looks(crm: CrmOnTrial) -> list[int]:
    return list(await crm.parts.stores.people.to_confirm(now=crm.clock.now(), people_max=9))


async def test_a_person_that_cannot_be_read_is_looked_at_again_in_a_minute(crm: CrmOnTrial):
    bad, good = await people(crm, 2)
    break_one(crm, "GET", bad)
    before = calls(crm, "GET", bad)
    crm.edit([bad], 7_000)
    await crm.pass_time(5 * MINUTE_S, step_s=1)
    assert calls(crm, "GET", bad) - before <= 6
    crm.edit([good], 7_000)
    await crm.pass_time(70, step_s=1)
    assert good not in await due_looks(crm)
    crm.simulator.faults.clear()
    await crm.pass_time(2 * MINUTE_S)
    assert await due_looks(crm) == []


async def test_a_person_that_cannot_be_handled_is_not_read_every_second(crm: CrmOnTrial):
    [person] = await people(crm, 1)
    crm.receiver.is_down = True
    crm.edit([person], 7_000)
    crm.clock.pass_s(10)
    crm.calls.nonsense_for = {"u0"}
    before = calls(crm, "GET", person)
    await crm.parts.stores.people.confirm_later(person, crm.clock.now())
    with pytest.raises(ValueError, match="validation"):
        await crm.api.confirm.once()
    crm.clock.pass_s(MINUTE_S - 1)
    await crm.api.confirm.once()
    assert calls(crm, "GET", person) - before == 1
    assert await crm.balance("u0") == FULL
    crm.calls.nonsense_for.clear()
    crm.clock.pass_s(1)
    await crm.api.confirm.once()
    assert await crm.balance("u0") == 7_000


async def test_a_write_that_fails_again_and_again_keeps_no_other_waiting(crm: CrmOnTrial):
    bad, good = await people(crm, 2)
    break_one(crm, "PATCH", bad)
    before = calls(crm, "PATCH", bad)
    for n in range(2):
        await use_up(crm, f"u{n}", f"r{n}")
    await crm.pass_time(2 * MINUTE_S, step_s=2)
    assert crm.shown(good, BALANCE) == 0
    assert calls(crm, "PATCH", bad) - before == 1
    crm.simulator.faults.clear()
    await crm.pass_time(5 * MINUTE_S)
    assert (crm.shown(bad, USED), crm.shown(bad, BALANCE)) == (FULL, 0)
