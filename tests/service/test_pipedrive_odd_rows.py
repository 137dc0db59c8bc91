"""The comparison goes on: past what is odd in Pipedrive's lists, and past a person that cannot be handled."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from common.errors import Unavailable
from pipedrive_sync.pipedrive.client import PipedriveClient
from pipedrive_sync.pipedrive.gate import Gate
from simulators.pipedrive.faults import ApiFault
from support.crm import QUOTA, USER_ID, CrmOnTrial, crm_on

DAY = timedelta(days=1)
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
ODD: list[Any] = [None, 5, "text", [], {}, {"id": {}}, {"id": 1, "update_time": 5.5e300}, {"id": None}]


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url) as trial:
        yield trial


def client_of(crm: CrmOnTrial, http: httpx.AsyncClient) -> PipedriveClient:
    gate = crm.api.client.gate
    cursors = crm.parts.stores.cursors
    return PipedriveClient(
        Gate(http, cursors, crm.clock, budget=gate._budget, burst=20, zone=gate._zone), crm.clock
    )


def answering(rows: list[Any]) -> httpx.AsyncClient:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"success": True, "data": rows})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://x.test/api/")


def listings(crm: CrmOnTrial) -> int:
    return len([1 for _, _, path, _ in crm.simulator.limits.calls if path == "/v2/persons"])


async def people_behind_a_missed_change(crm: CrmOnTrial, count: int) -> None:
    """Everybody's quota is 1,000 here and 2,000 in Pipedrive."""
    found = [crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: 1_000}) for n in range(count)]
    await crm.settle()
    await crm.api.reconcile.full()
    crm.receiver.is_down = True
    crm.clock.pass_s(MINUTE_S)
    crm.edit(found, 2_000)
    crm.clock.pass_s(2 * MINUTE_S)


async def balances(crm: CrmOnTrial, count: int) -> list[int | None]:
    return [await crm.balance(f"u{n}") for n in range(count)]


async def test_odd_rows_hide_nobody(crm: CrmOnTrial):
    ann = {"id": 7, "update_time": "2026-11-22T12:00:35Z", "name": "Ann"}
    async with answering([*ODD, ann, *ODD]) as http:
        pages = client_of(crm, http).pages(crm.parts.known.keys)
        assert [[record.person_id for record in page] async for page in pages] == [[7]]


async def test_odd_rows_hide_no_field(crm: CrmOnTrial):
    quota = {"field_code": "a" * 40, "field_name": QUOTA, "field_type": "double"}
    async with answering([*ODD, quota]) as http:
        assert [field.name for field in await client_of(crm, http).fields()] == [QUOTA]


@pytest.mark.parametrize("look", ["full", "recent"])
async def test_a_person_that_cannot_be_handled_ends_it_for_nobody_else(crm: CrmOnTrial, look: str):
    await people_behind_a_missed_change(crm, 3)
    crm.calls.nonsense_for = {"u1"}
    assert await getattr(crm.api.reconcile, look)() == 2
    assert await balances(crm, 3) == [2_000, 1_000, 2_000]


@pytest.mark.parametrize("look", ["full", "recent"])
async def test_nothing_is_passed_while_the_ledger_is_away(crm: CrmOnTrial, look: str):
    await people_behind_a_missed_change(crm, 3)
    crm.calls.is_away = True
    with pytest.raises(Unavailable):
        await getattr(crm.api.reconcile, look)()
    crm.calls.is_away = False
    assert await getattr(crm.api.reconcile, look)() == 3


class TestAFullComparisonThatFails:
    async def fail_once(self, crm: CrmOnTrial) -> None:
        """Make it due, and fail; what changed is looked at all the same."""
        crm.simulator.faults.api = [ApiFault(kind="unsuccessful", method="GET", path="/v2/personFields")]
        crm.clock.pass_s(DAY_S)
        with pytest.raises(Unavailable):
            # The gate is closed for a second after it.
            await crm.api.reconcile.once(full_every=DAY)
        crm.clock.pass_s(2)

    async def test_is_left_for_an_hour_and_what_changed_is_looked_at(self, crm: CrmOnTrial):
        await people_behind_a_missed_change(crm, 2)
        await self.fail_once(crm)
        before = listings(crm)
        assert await crm.api.reconcile.once(full_every=DAY) == 2
        assert listings(crm) == before + 1
        crm.clock.pass_s(HOUR_S)
        await crm.api.reconcile.once(full_every=DAY)
        assert listings(crm) == before + 3
        await crm.api.reconcile.once(full_every=DAY)
        assert listings(crm) == before + 4

    async def test_lets_the_other_comparison_run_in_the_same_turn(self, crm: CrmOnTrial):
        await people_behind_a_missed_change(crm, 2)
        crm.clock.pass_s(DAY_S)
        crm.simulator.faults.api = [ApiFault(kind="forbidden", method="GET", path="/v2/personFields")]
        assert await crm.api.reconcile.once(full_every=DAY) == 2

    async def test_so_is_the_first_one_of_all(self, crm: CrmOnTrial):
        crm.person("Ann", **{USER_ID: "u0", QUOTA: 5})
        crm.clock.pass_s(MINUTE_S)
        crm.simulator.faults.api = [ApiFault(kind="forbidden", method="GET", path="/v2/persons")]
        assert await crm.api.reconcile.once(full_every=DAY) == 0
        before = listings(crm)
        assert await crm.api.reconcile.once(full_every=DAY) == 0
        assert listings(crm) == before
        crm.clock.pass_s(HOUR_S)
        assert await crm.api.reconcile.once(full_every=DAY) == 1
