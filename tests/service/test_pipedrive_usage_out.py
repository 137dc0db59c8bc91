"""Usage to Pipedrive: few writes, the important ones first, never beyond the limits, never in a circle."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from pipedrive_sync.pipedrive.gate import PipedriveAway
from simulators.pipedrive.faults import ApiFault
from support.crm import BALANCE, QUOTA, USED, USER_ID, CrmOnTrial, crm_on
from support.ledger import finished

FULL = 10_000


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url) as trial:
        yield trial


async def people(crm: CrmOnTrial, count: int, *, quota: int = FULL) -> list[int]:
    """Linked people whose figures Pipedrive shows already."""
    found = [crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: quota}) for n in range(count)]
    await crm.settle()
    await crm.pass_time(20)
    return found


async def use(crm: CrmOnTrial, user_id: str, tokens: int, run_id: str) -> None:
    run = finished(run_id, tokens, clock=crm.clock, user_id=user_id)
    await crm.ledger.store_run(run)
    await crm.ledger.ledger.settlements.book([run])


def writes(crm: CrmOnTrial) -> list[str]:
    return [path for _, method, path, _ in crm.simulator.limits.calls if method == "PATCH"]


def fault(kind: str, **values: Any) -> ApiFault:
    return ApiFault.model_validate({"kind": kind, "times": None, **values})


async def test_used_and_balance_are_shown_in_pipedrive_and_the_quota_is_left_alone(crm: CrmOnTrial):
    [person] = await people(crm, 1)
    await use(crm, "u0", 1_500, "r1")
    await crm.pass_time(1_000, step_s=100)
    assert (crm.shown(person, USED), crm.shown(person, BALANCE)) == (1_500, 8_500)
    assert crm.shown(person, QUOTA) == FULL
    by_us = [c for c in crm.simulator.changes if c.actor.user_id == crm.simulator.admin.id]
    assert by_us
    quota_key = crm.parts.known.keys.quota
    assert all(quota_key not in (change.previous or {}).get("custom_fields", {}) for change in by_us)


async def test_many_runs_are_one_write(crm: CrmOnTrial):
    [person] = await people(crm, 1)
    before = len(writes(crm))
    for n in range(10):
        await use(crm, "u0", 100, f"r{n}")
        await crm.pass_time(60, step_s=30)
    await crm.pass_time(900, step_s=100)
    assert crm.shown(person, USED) == 1_000
    assert len(writes(crm)) - before <= 2


async def test_what_is_shown_already_is_not_written_again(crm: CrmOnTrial):
    await people(crm, 1)
    before = len(writes(crm))
    await crm.parts.balances.catch_up()
    await crm.pass_time(3_600, step_s=300)
    assert len(writes(crm)) == before


async def test_whoever_has_used_up_all_goes_first_and_at_once(crm: CrmOnTrial):
    found = await people(crm, 4)
    before = len(writes(crm))
    crm.clock.pass_s(1_000)
    for n in range(3):
        await use(crm, f"u{n}", 100, f"r{n}")
    await use(crm, "u3", FULL, "all")
    await crm.settle()
    await crm.work()
    assert writes(crm)[before] == f"/v2/persons/{found[3]}"
    assert crm.shown(found[3], BALANCE) == 0


async def test_exhaustion_does_not_wait_for_the_interval(crm: CrmOnTrial):
    [person] = await people(crm, 1)
    await use(crm, "u0", 100, "r1")
    await crm.pass_time(1_000, step_s=100)
    await use(crm, "u0", FULL, "r2")
    await crm.pass_time(10)
    assert crm.shown(person, BALANCE) == -100


@pytest.mark.parametrize("way", [{"is_down": True}, {"cuts": 1}])
async def test_a_way_to_pipedrive_that_fails_for_a_moment_delays_nobody(crm: CrmOnTrial, way: dict[str, Any]):
    [person] = await people(crm, 1)
    await use(crm, "u0", FULL, "r1")
    for name, value in way.items():
        setattr(crm.to_pipedrive, name, value)
    await crm.pass_time(5, step_s=1)
    crm.to_pipedrive.is_down = False
    await crm.pass_time(20, step_s=1)
    assert (crm.shown(person, USED), crm.shown(person, BALANCE)) == (FULL, 0)


async def test_a_lost_event_is_found_by_catching_up(crm: CrmOnTrial):
    [person] = await people(crm, 1)
    await use(crm, "u0", 700, "r1")
    await crm.ledger.db["ledger_outbox"].delete_many({})
    await crm.pass_time(1_000, step_s=100)
    assert crm.shown(person, USED) == 0
    await crm.parts.balances.catch_up()
    await crm.pass_time(10)
    assert crm.shown(person, USED) == 700


class TestCircles:
    async def test_our_echo_is_known_and_another_tools_edit_is_not_taken_for_it(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        echoes = [r async for r in crm.ledger.db["crm_decisions"].find({"why": "our own echo"})]
        assert len(echoes) == 1
        code = crm.simulator.company.field_named(QUOTA).code
        by = crm.simulator.by_other_tool
        crm.clock.pass_s(1)
        crm.simulator.company.set_field([person], code, 12_000, by=by)
        await crm.settle()
        assert await crm.balance("u0") == 12_000

    async def test_figures_that_somebody_else_writes_are_put_right_but_not_in_a_fight(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        before = len(writes(crm))
        for n in range(30):
            crm.edit([person], 999_000 + n, title=BALANCE)
            await crm.pass_time(120, step_s=120)
        await crm.pass_time(1_000, step_s=100)
        assert crm.shown(person, BALANCE) == FULL
        assert len(writes(crm)) - before <= 7


class TestLimits:
    async def test_when_the_day_is_nearly_spent_whoever_has_nothing_left_is_still_shown(self, db_url: str):
        async with crm_on(db_url, pipedrive_daily_tokens=1_000, pipedrive_write_every_s=1) as crm:
            found = await people(crm, 16)
            crm.clock.pass_s(1_000)
            for n in range(15):
                await use(crm, f"u{n}", 10, f"r{n}")
            await crm.pass_time(30)
            await use(crm, "u15", FULL, "all")
            await crm.pass_time(30)
            assert crm.shown(found[15], BALANCE) == 0
            assert any(crm.shown(found[n], USED) != 10 for n in range(15))

    async def test_other_tools_of_the_company_are_left_a_quarter(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        crm.simulator.limits.spent[crm.simulator.limits.today] = 23_000
        await crm.api.client.account()
        await use(crm, "u0", 100, "r1")
        await crm.pass_time(1_000, step_s=100)
        assert crm.shown(person, USED) == 0

    async def test_too_fast_is_waited_out(self, crm: CrmOnTrial):
        await people(crm, 1)
        crm.simulator.faults.api = [fault("burst", times=2)]
        before = crm.clock.now()
        assert (await crm.api.client.account()).company_domain == "acme"
        assert (crm.clock.now() - before).total_seconds() >= 4

    @pytest.mark.parametrize("headers", [True, False])
    async def test_a_spent_day_stops_all_calls_till_midnight(self, crm: CrmOnTrial, headers):
        [person] = await people(crm, 1)
        crm.simulator.faults.api = [fault("daily", headers=headers)]
        with pytest.raises(PipedriveAway):
            await crm.api.client.account()
        crm.simulator.faults.clear()
        asked = len(crm.simulator.limits.calls)
        await use(crm, "u0", FULL, "r1")
        await crm.pass_time(3_600, step_s=600)
        assert len(crm.simulator.limits.calls) == asked
        assert "midnight" not in (crm.api.client.gate.pause or "")
        await crm.pass_time(12 * 3_600, step_s=3_600)
        assert crm.shown(person, BALANCE) == 0

    async def test_a_probe_ends_the_pause_early_when_the_budget_is_back(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        crm.simulator.faults.api = [fault("daily", times=1)]
        with pytest.raises(PipedriveAway):
            await crm.api.client.account()
        assert crm.api.client.gate.pause is not None
        await crm.api.client.account(purpose="probe")
        assert crm.api.client.gate.pause is None
        await use(crm, "u0", FULL, "r1")
        await crm.pass_time(10)
        assert crm.shown(person, BALANCE) == 0

    async def test_a_page_with_403_opens_the_breaker_for_half_an_hour(self, crm: CrmOnTrial):
        await people(crm, 1)
        crm.simulator.faults.api = [fault("blocked", times=1)]
        with pytest.raises(PipedriveAway):
            await crm.api.client.account()
        asked = len(crm.simulator.limits.calls)
        crm.clock.pass_s(29 * 60)
        with pytest.raises(PipedriveAway):
            await crm.api.client.account()
        assert len(crm.simulator.limits.calls) == asked
        crm.clock.pass_s(2 * 60)
        assert await crm.api.client.account()

    async def test_a_pause_outlives_the_process(self, crm: CrmOnTrial):
        await people(crm, 1)
        crm.simulator.faults.api = [fault("unauthorized", times=1)]
        with pytest.raises(PipedriveAway):
            await crm.api.client.account()
        kept = await crm.parts.stores.cursors.read("pause")
        assert "PIPEDRIVE_TOKEN" in kept["why"]
        gate = type(crm.api.client.gate)(
            crm.http,
            crm.parts.stores.cursors,
            crm.clock,
            budget=crm.api.client.gate._budget,
            burst=20,
            zone=crm.api.client.gate._zone,
        )
        await gate.load()
        assert gate.pause is not None

    @pytest.mark.parametrize("kind", ["error", "timeout", "null", "cut"])
    async def test_an_answer_that_failed_is_tried_again_and_ends_right(self, crm: CrmOnTrial, kind):
        [person] = await people(crm, 1)
        crm.simulator.faults.api = [fault(kind, times=2, method="PATCH")]
        await use(crm, "u0", FULL, "r1")
        await crm.pass_time(700, step_s=20)
        assert (crm.shown(person, USED), crm.shown(person, BALANCE)) == (FULL, 0)


class TestWhatIsGone:
    async def test_a_person_that_is_not_for_us_is_left_for_a_while_and_the_others_go_on(
        self, crm: CrmOnTrial
    ):
        found = await people(crm, 2)
        crm.simulator.faults.api = [fault("forbidden", method="PATCH", path=f"/v2/persons/{found[0]}")]
        for n in range(2):
            await use(crm, f"u{n}", FULL, f"r{n}")
        await crm.pass_time(60)
        assert crm.shown(found[1], BALANCE) == 0
        refused = len([path for path in writes(crm) if path.endswith(f"/{found[0]}")])
        assert refused <= 3

    async def test_new_balances_do_not_bring_a_refused_write_forward(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        crm.simulator.faults.api = [fault("forbidden", method="PATCH", path=f"/v2/persons/{person}")]
        before = len(writes(crm))
        for n in range(10):
            await use(crm, "u0", FULL, f"r{n}")
            await crm.pass_time(120, step_s=60)
        assert len(writes(crm)) - before == 1
        crm.simulator.faults.clear()
        await crm.pass_time(3_600, step_s=600)
        assert crm.shown(person, USED) == 10 * FULL

    async def test_a_person_that_is_gone_is_unlinked(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        crm.receiver.is_down = True
        company = crm.simulator.company
        company.delete(company.persons[person], by=crm.simulator.by_hand)
        await use(crm, "u0", FULL, "r1")
        await crm.pass_time(60)
        assert await crm.parts.stores.people.all_linked() == {}

    async def test_a_field_that_is_deleted_stops_what_needs_it_and_says_so(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        crm.simulator.company.delete_field(crm.simulator.company.field_named(USED).code)
        crm.simulator.company.delete_field(crm.simulator.company.field_named(BALANCE).code)
        await crm.parts.known.refresh(crm.api.client)
        before = len(writes(crm))
        await use(crm, "u0", FULL, "r1")
        crm.edit([person], 15_000)
        await crm.pass_time(60)
        assert len(writes(crm)) == before
        assert await crm.balance("u0") == 5_000
        assert len(crm.parts.known.problems) == 2
        assert "deleted" in crm.parts.known.problems[0]

    async def test_a_field_that_is_renamed_goes_on(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        crm.simulator.company.field_named(QUOTA).name = "Kontingent"
        await crm.parts.known.refresh(crm.api.client)
        crm.edit([person], 15_000, title="Kontingent")
        await crm.pass_time(20)
        assert await crm.balance("u0") == 15_000
