"""Pipedrive's webhooks while parts of the product are down: nothing is lost, and no ban is earned."""

import asyncio
import os
import signal
from typing import Any

import pytest

from support.pipedrive import INTEGRATION_ENV, QUOTA, USER_ID, Pipedrive, add_sync, simulated_pipedrive
from support.servers import private_servers
from support.stack import Stack, running_stack

PEOPLE = 500


async def delivered(pipedrive: Pipedrive) -> dict[str, Any]:
    """Wait until no webhook is on its way; say what became of them."""
    async with asyncio.timeout(120):
        while (deliveries := await pipedrive.deliveries())["waiting"]:
            await asyncio.sleep(0.2)
    return deliveries


async def balances(stack: Stack) -> list[int]:
    return [account["balance"] async for account in stack.db["accounts"].find({}, {"balance": 1})]


@pytest.mark.timeout(400)
async def test_f17_a_bulk_edit_of_500_people_while_rabbitmq_restarts(db_url: str, redis_url: str):
    async with (
        private_servers("amqp") as servers,
        simulated_pipedrive() as pipedrive,
        running_stack(
            db_url=db_url, amqp_url=servers.urls["amqp"], redis_url=redis_url, workers=0, env=INTEGRATION_ENV
        ) as stack,
    ):
        await add_sync(stack, pipedrive)
        ids = [await pipedrive.person(f"P{n}", {USER_ID: f"u{n}"}) for n in range(PEOPLE)]
        await delivered(pipedrive)

        os.kill(await servers.pid("amqp"), signal.SIGKILL)
        await pipedrive.edit(ids, QUOTA, 7_000, is_bulk=True)
        deliveries = await delivered(pipedrive)
        await servers.until_ready("amqp")

        assert deliveries["first_failures"] == deliveries["given_up"] == deliveries["lost_in_ban"] == 0
        assert deliveries["delivered"] >= 2 * PEOPLE

        async def all_applied() -> bool:
            return await balances(stack) == [7_000] * PEOPLE

        await stack.until(all_applied, within_s=240)
        await stack.audit()


async def test_f17_a_sync_that_is_killed_in_the_middle_applies_everything_once(
    db_url: str, amqp_url: str, redis_url: str
):
    async with (
        simulated_pipedrive() as pipedrive,
        running_stack(
            db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, workers=0, env=INTEGRATION_ENV
        ) as stack,
    ):
        sync = await add_sync(stack, pipedrive)
        ids = [await pipedrive.person(f"P{n}", {USER_ID: f"u{n}"}) for n in range(60)]
        await pipedrive.edit(ids, QUOTA, 7_000, is_bulk=True)

        async def some_applied() -> bool:
            return 7_000 in await balances(stack)

        await stack.until(some_applied)
        sync.program.send(signal.SIGKILL)
        await pipedrive.edit(ids[:30], QUOTA, 8_000, is_bulk=True)
        await sync.program.ended()
        await sync.restart()

        async def all_applied() -> bool:
            return sorted(await balances(stack)) == [7_000] * 30 + [8_000] * 30

        await stack.until(all_applied, within_s=90)
        rows = stack.db["transactions"].find({"kind": "quota"})
        sums: dict[str, int] = {}
        async for row in rows:
            sums[row["user_id"]] = sums.get(row["user_id"], 0) + row["tokens"]
        assert sorted(sums.values()) == [7_000] * 30 + [8_000] * 30
        await stack.audit()
