"""Pipedrive and the chat as an administrator and a user meet them: real processes, real servers."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import orjson
import pytest

from common.ids import new_id
from support.fresh import fresh_places
from support.pipedrive import (
    BALANCE,
    INTEGRATION,
    INTEGRATION_ENV,
    QUOTA,
    USED,
    USER_ID,
    Pipedrive,
    add_sync,
    simulated_pipedrive,
)
from support.processes import python
from support.servers import Servers
from support.sim import sim
from support.stack import Stack, running_stack


@pytest.fixture(scope="module")
async def pipedrive() -> AsyncGenerator[Pipedrive]:
    async with simulated_pipedrive() as started:
        yield started


@pytest.fixture(scope="module")
async def stack(
    servers: Servers, management: httpx.AsyncClient, pipedrive: Pipedrive
) -> AsyncGenerator[Stack]:
    """One stack for all tests here; each has users and people of its own."""
    async with (
        fresh_places(servers, management) as places,
        running_stack(**places, env=INTEGRATION_ENV) as stack,
    ):
        await add_sync(stack, pipedrive, PIPEDRIVE_WRITE_EVERY_S="1")
        yield stack


@pytest.fixture
def me() -> str:
    return new_id("q")


async def test_a_quota_set_in_pipedrive_is_the_balance_in_the_open_chat(
    stack: Stack, pipedrive: Pipedrive, me: str
):
    user = stack.client(me, email=f"{me}@example.com", name="Ann")
    before = (await user.open())["user"]["token_balance"]
    person = await pipedrive.person("Ann Lee", email=f"{me.upper()}@example.com")
    for quota in (before + 1_000, before + 2_000, before * 50):
        await pipedrive.edit([person], QUOTA, quota)
        async with asyncio.timeout(60):
            while (await user.open())["user"]["token_balance"] != quota:
                await asyncio.sleep(0.02)
    rows = await stack.db["transactions"].find({"user_id": me, "kind": "quota"}).to_list(None)
    assert len(rows) == 3
    assert all(row["actor"].startswith("pipedrive:user:") and row["source_event"] for row in rows)


async def test_an_open_page_is_told_of_a_quota_without_asking(stack: Stack, pipedrive: Pipedrive, me: str):
    user = stack.client(me, email=f"{me}@example.com", name="Cat")
    balance = (await user.open())["user"]["token_balance"]
    person = await pipedrive.person("Cat Poe", email=f"{me}@example.com")
    async with user.http.stream("GET", "/chat/account/events") as answer, asyncio.timeout(60):
        told = (
            orjson.loads(line.removeprefix("data: "))["token_balance"]
            async for line in answer.aiter_lines()
            if line.startswith("data: ")
        )
        assert await anext(told) == balance
        await pipedrive.edit([person], QUOTA, balance + 500)
        assert await anext(told) == balance + 500
        await pipedrive.edit([person], QUOTA, balance + 700)
        assert await anext(told) == balance + 700


async def test_what_is_used_in_the_chat_is_shown_in_pipedrive(stack: Stack, pipedrive: Pipedrive, me: str):
    person = await pipedrive.person("Bob", {USER_ID: me, QUOTA: 5_000})
    user = stack.client(me)
    async with asyncio.timeout(60):
        while (await user.open())["user"]["token_balance"] != 5_000:
            await asyncio.sleep(0.1)
    thread_id = (await user.open())["thread"]["id"]
    await user.ask(thread_id, sim(reply_tokens=50))
    await stack.drained()
    account = await stack.account(me)
    async with asyncio.timeout(60):
        while (shown := await pipedrive.shown(person))[USED] in {None, 0}:
            await asyncio.sleep(0.1)
    assert (shown[USED], shown[BALANCE]) == (5_000 - account["balance"], account["balance"])
    assert shown[QUOTA] == 5_000


async def test_tokens_set_by_the_main_application_are_applied_in_the_answer(stack: Stack, me: str):
    path, body = f"/int/tokens?id={me}&quota=50%20000", {"int": {"event_id": me}}
    async with (
        httpx.AsyncClient(base_url=stack.gateways[0].url, auth=INTEGRATION, timeout=30) as http,
        asyncio.timeout(60),
    ):
        # On a busy machine it may be accepted first; the same call again tells what became of it.
        while (answer := await http.post(path, json=body)).status_code == 202:
            await asyncio.sleep(0.1)
        assert answer.json() == {
            "status": "applied",
            "user_id": me,
            "quota": 50_000,
            "token_balance": 50_000,
        }
        assert answer.status_code == 200


async def test_forged_calls_change_nothing(stack: Stack, me: str):
    await stack.client(me).open()
    # Not those that Pipedrive tells of what was shown there, which may come at any time.
    forged = {"$or": [{"user_ref": me}, {"body": "{}"}]}
    async with httpx.AsyncClient(base_url=stack.gateways[0].url, timeout=30) as http:
        for auth in (httpx.BasicAuth("pipedrive", "wrong"), httpx.BasicAuth("", ""), httpx.Auth()):
            for path in (f"/int/tokens?id={me}&quota=1", "/int/pipedrive/webhooks"):
                assert (await http.post(path, json={}, auth=auth)).status_code == 401
    assert await stack.db["int_inbox"].count_documents(forged) == 0
    assert await stack.db["transactions"].count_documents({"user_id": me}) == 1


async def test_setup_and_doctor_speak_plainly(stack: Stack, pipedrive: Pipedrive):
    [sync] = stack.of("pipedrive_sync")
    code, said = await run(sync.env, "setup")
    assert (code, said.count("is there")) == (0, 5)
    assert "works" in said
    code, said = await run(sync.env, "doctor")
    assert "There is exactly one webhook, and it works." in said
    assert "PIPEDRIVE" not in said
    code, said = await run(sync.env | {"PIPEDRIVE_TOKEN": "wrong", "DIST_URL": ""}, "doctor")
    assert code == 1
    assert "WRONG" in said


async def run(env: dict[str, str], command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *python("pipedrive_sync", command),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()
