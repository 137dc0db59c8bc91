"""The sweep of the inbox: what is left over is decided, and one row that cannot be handled stops no other."""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

import pytest

from common.integration_inbox import InboxRow
from support.crm import CrmOnTrial, crm_on

ROWS = 600


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url) as trial:
        yield trial


async def arrive(crm: CrmOnTrial, user_ids: list[str]) -> None:
    """Store calls of /int/tokens whose messages were lost."""
    rows = [
        InboxRow(
            id=f"t:{user_id}",
            channel="tokens",
            received_at=crm.clock.now() + timedelta(milliseconds=n),
            body="{}",
            actor="integration",
            user_ref=user_id,
            quota_text="5",
        )
        for n, user_id in enumerate(user_ids)
    ]
    await crm.ledger.db["int_inbox"].insert_many([row.document() for row in rows])


async def cursor(crm: CrmOnTrial) -> datetime:
    at = await crm.parts.stores.cursors.time("inbox")
    assert at is not None
    return at


async def test_rows_far_behind_a_bad_one_are_decided_while_it_is_tried_again(crm: CrmOnTrial):
    crm.calls.nonsense_for = {"bad"}
    arrived_at = crm.clock.now()
    await arrive(crm, ["bad", *(f"u{n}" for n in range(ROWS))])
    crm.clock.pass_s(60)
    assert await crm.parts.sweep.once() == ROWS
    assert await crm.balance(f"u{ROWS - 1}") == 5
    assert await cursor(crm) == arrived_at
    crm.calls.nonsense_for.clear()
    assert await crm.parts.sweep.once() == 1
    assert await crm.balance("bad") == 5


async def test_a_row_that_stays_bad_is_rejected_and_passed(crm: CrmOnTrial):
    crm.calls.nonsense_for = {"bad"}
    await arrive(crm, ["bad"])
    crm.clock.pass_s(3_700)
    last_at = crm.clock.now()
    await arrive(crm, ["u1"])
    crm.clock.pass_s(60)
    await crm.parts.sweep.once()
    assert await crm.decisions() == {"rejected": 1, "applied": 1}
    assert await cursor(crm) == last_at


async def test_a_ledger_that_is_away_makes_no_row_a_bad_one(crm: CrmOnTrial):
    crm.calls.is_away = True
    await arrive(crm, ["u1"])
    crm.clock.pass_s(7_200)
    with pytest.raises(Exception, match="try again"):
        await crm.parts.sweep.once()
    crm.calls.is_away = False
    assert await crm.parts.sweep.once() == 1
    assert await crm.balance("u1") == 5
