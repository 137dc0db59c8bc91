"""Queues and dead letters on a real broker: seen, tried again, dropped, each with a line in the audit."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import httpx
import pytest

from common.amqp.broker import Broker
from common.amqp.dead_letters import DeadLetters
from common.amqp.delivery import DeadLetter, Delivery, Done, Outcome
from common.amqp.publisher import Publisher, Route
from common.amqp.topology import NOTIFICATIONS, RUN_FINISHED, RUNS
from common.clock import SystemClock
from common.errors import Unavailable
from common.events.integration import NotificationReceivedV1
from common.ids import new_id
from common.mongo.client import Database, connect
from gateway.dashboard.management import open_management
from gateway.dashboard.operations import Operations
from gateway.dashboard.operator_actions import OperatorActions
from support.processes import python

DEFINITIONS = json.loads((Path(__file__).parents[2] / "deploy/rabbitmq/definitions.json").read_text())
QUEUE = NOTIFICATIONS.name
CLOCK = SystemClock()


class Letters:
    """Publishes notifications, and lets them be refused or handled."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.handled: list[str] = []

    async def publish(self, count: int) -> None:
        for number in range(count):
            event = NotificationReceivedV1(event_id=f"n{number}", occurred_at=CLOCK.now(), channel="webhook")
            await self._broker.publisher.publish(event, deadline_s=30)

    async def consume(self, *, refuse: bool) -> Any:
        async def handle(delivery: Delivery) -> Outcome:
            if refuse:
                return DeadLetter("no such person")
            self.handled.append(delivery.message_id)
            assert delivery.attempt == 1
            return Done()

        return await self._broker.consume(NOTIFICATIONS, handle, prefetch=5)

    async def refused(self, count: int) -> None:
        """Have so many letters set aside."""
        await self.publish(count)
        consumer = await self.consume(refuse=True)
        letters = self._broker.dead_letters()

        async def all_there() -> bool:
            return await letters.depth(NOTIFICATIONS) == count

        await until(all_there)
        await consumer.drain(grace_s=20)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(90):
        while not await condition():
            await asyncio.sleep(0.1)


@pytest.fixture
async def broker(amqp_url: str) -> AsyncGenerator[Broker]:
    async with Broker(amqp_url, service="gateway") as broker:
        yield broker


@pytest.fixture
async def db(db_url: str) -> AsyncGenerator[Database]:
    db = connect(db_url, service="test")
    yield db
    db.client.close()


@pytest.fixture
async def operations(
    broker: Broker, db: Database, amqp_url: str, amqp_management_url: str
) -> AsyncGenerator[Operations]:
    async with open_management(amqp_management_url, amqp_url=amqp_url, clock=CLOCK) as management:
        yield Operations(broker.dead_letters(), management, OperatorActions(db, CLOCK), CLOCK)


@pytest.fixture
def letters(broker: Broker) -> Letters:
    return Letters(broker)


async def actions(db: Database) -> list[dict[str, Any]]:
    return await db["operator_actions"].find().sort("_id", 1).to_list(None)


async def test_what_was_set_aside_is_shown_with_its_reason_and_stays(
    operations: Operations, letters: Letters
):
    await letters.refused(3)
    await operations.view()
    view = await operations.view()
    shown = [(letter.id, letter.queue, letter.reason) for letter in view.dead_letters]
    assert shown == [(f"n{number}", QUEUE, "no such person") for number in range(3)]
    ages = [CLOCK.now() - letter.at for letter in view.dead_letters if letter.at]
    assert len(ages) == 3
    assert max(ages) < timedelta(minutes=2)
    assert {queue.name: queue.dead for queue in view.queues}[QUEUE] == 3
    assert view.wrong == []


async def test_one_is_replayed_and_handled_under_its_own_id(
    operations: Operations, letters: Letters, db: Database
):
    await letters.refused(3)
    done, left = await operations.replay(QUEUE, {"n1", "unknown"}, actor="op", dry_run=False)
    assert ([letter.id for letter in done], left) == (["n1"], 2)
    await letters.consume(refuse=False)

    async def handled() -> bool:
        return letters.handled == ["n1"]

    await until(handled)
    (line,) = await actions(db)
    assert (line["actor"], line["action"], line["outcome"]) == ("op", "dead_letters.replay", "done")
    assert (line["ids"], line["target"]) == (["n1"], {"queue": QUEUE, "ids": ["n1", "unknown"]})


async def test_a_dry_run_sends_nothing_and_has_its_line_too(
    operations: Operations, letters: Letters, db: Database
):
    await letters.refused(2)
    done, left = await operations.replay(QUEUE, None, actor="op", dry_run=True)
    assert ([letter.id for letter in done], left) == (["n0", "n1"], 2)
    (line,) = await actions(db)
    assert (line["dry_run"], line["outcome"], line["ids"]) == (True, "done", ["n0", "n1"])


async def test_all_are_replayed_each_once(operations: Operations, letters: Letters):
    await letters.refused(20)
    done, left = await operations.replay(QUEUE, None, actor="op", dry_run=False)
    assert (len(done), left) == (20, 0)
    assert await operations.replay(QUEUE, None, actor="op", dry_run=False) == ([], 0)
    await letters.consume(refuse=False)

    async def handled() -> bool:
        return len(letters.handled) >= 20

    await until(handled)
    assert sorted(letters.handled) == sorted(f"n{number}" for number in range(20))


async def test_what_fails_again_is_set_aside_again_with_its_attempts_anew(
    operations: Operations, letters: Letters
):
    await letters.refused(1)
    await operations.replay(QUEUE, None, actor="op", dry_run=False)
    await letters.consume(refuse=True)

    async def back() -> bool:
        return len((await operations.view()).dead_letters) == 1

    await until(back)
    ((letter,), _) = await operations.replay(QUEUE, None, actor="op", dry_run=True)
    assert (letter.attempts, letter.reason) == (1, "no such person")


class BreaksOff(Publisher):
    """Publishes so many letters, and then no more."""

    left = 2

    async def publish_raw(self, body: bytes, route: Route, *, deadline_s: float = 5.0) -> None:
        if not self.left:
            raise Unavailable("The broker went away")
        self.left -= 1
        await super().publish_raw(body, route, deadline_s=deadline_s)


async def test_a_replay_that_breaks_off_names_the_letters_that_were_sent(
    amqp_url: str, db: Database, letters: Letters
):
    await letters.refused(4)
    async with await aio_pika.connect(amqp_url) as connection:
        publisher = BreaksOff(connection.channel, service="test")
        box = DeadLetters(connection.channel, publisher)
        with pytest.raises(Unavailable):
            await Operations(box, None, OperatorActions(db, CLOCK), CLOCK).replay(QUEUE, None, actor="op")
        (line,) = await actions(db)
        assert line["outcome"].startswith("failed")
        assert line["ids"] == ["n0", "n1"]

        async def given_back() -> bool:
            return await box.depth(NOTIFICATIONS) == 2

        await until(given_back)


async def test_a_letter_that_the_broker_gave_up_on_can_be_replayed(
    operations: Operations, broker: Broker, letters: Letters
):
    await letters.publish(1)
    channel = await broker._connections["consume"].channel()
    queue = await channel.get_queue(NOTIFICATIONS.name, ensure=False)
    for _ in range(NOTIFICATIONS.delivery_limit + 1):
        async with asyncio.timeout(30):
            while (incoming := await queue.get(fail=False)) is None:
                await asyncio.sleep(0.05)
        await incoming.reject(requeue=True)

    async def given_up() -> bool:
        return [letter.reason for letter in (await operations.view()).dead_letters] == ["delivery_limit"]

    await until(given_up)
    await operations.replay(QUEUE, {"n0"}, actor="op", dry_run=False)
    await letters.consume(refuse=False)

    async def handled() -> bool:
        return letters.handled == ["n0"]

    await until(handled)


async def test_what_is_dropped_is_gone_and_its_reason_stays(
    operations: Operations, letters: Letters, db: Database
):
    await letters.refused(3)
    dropped, left = await operations.drop(QUEUE, {"n0", "n2"}, actor="op", reason="test data")
    assert ([letter.id for letter in dropped], left) == (["n0", "n2"], 1)
    (line,) = await actions(db)
    assert (line["action"], line["reason"], line["ids"]) == ("dead_letters.drop", "test data", ["n0", "n2"])


async def test_depth_consumers_rates_and_the_age_of_the_oldest_are_the_brokers(
    operations: Operations, letters: Letters
):
    await letters.publish(4)

    async def counted() -> bool:
        states = {queue.name: queue for queue in (await operations.view()).queues}
        state = states[QUEUE].state
        return state is not None and state.ready == 4 and states[QUEUE].oldest_age is not None

    await until(counted)
    queues = {queue.name: queue for queue in (await operations.view()).queues}
    assert {RUNS.name, RUN_FINISHED.name, QUEUE} <= queues.keys()
    assert queues[QUEUE].retries == {5: 0, 30: 0, 120: 0, 600: 0}
    age = queues[QUEUE].oldest_age
    assert age is not None
    assert (age.seconds < 120, age.is_at_least) == (True, False)
    assert queues[RUNS.name].oldest_age is None
    consumer = await letters.consume(refuse=False)

    async def emptied() -> bool:
        state = {queue.name: queue.state for queue in (await operations.view()).queues}[QUEUE]
        return state is not None and (state.ready, state.unacked, state.consumers) == (0, 0, 1)

    await until(emptied)
    await consumer.drain(grace_s=20)


@pytest.fixture
async def monitor_url(
    amqp_url: str, amqp_management_url: str, management: httpx.AsyncClient
) -> AsyncGenerator[str]:
    """The management API as the user that production has for it: with its tags, and its rights."""
    (user,) = (item for item in DEFINITIONS["users"] if item["name"] == "monitor")
    (rights,) = (item for item in DEFINITIONS["permissions"] if item["user"] == "monitor")
    name, vhost = new_id("q"), urlsplit(amqp_url).path.lstrip("/")
    (await management.put(f"/api/users/{name}", json=user | {"password": "secret"})).raise_for_status()
    (await management.put(f"/api/permissions/{vhost}/{name}", json=rights)).raise_for_status()
    address = urlsplit(amqp_management_url)
    host = address.netloc.rpartition("@")[2]
    yield address._replace(netloc=f"{name}:secret@{host}").geturl()
    (await management.delete(f"/api/users/{name}")).raise_for_status()


async def test_productions_user_for_it_sees_how_full_the_queues_are(
    letters: Letters, amqp_url: str, monitor_url: str
):
    await letters.refused(1)
    async with open_management(monitor_url, amqp_url=amqp_url, clock=CLOCK) as management:
        assert management is not None
        states = await management.queues()
        await management.oldest_age(QUEUE)
    assert {QUEUE, NOTIFICATIONS.dead} <= states.keys()


@pytest.mark.parametrize("url", ["", "http://user:secret@127.0.0.1:9"])
async def test_without_the_management_api_dead_letters_are_shown_all_the_same(
    broker: Broker, db: Database, letters: Letters, url: str
):
    await letters.refused(1)
    async with open_management(url, amqp_url="amqp://h/v", clock=CLOCK) as management:
        view = await Operations(broker.dead_letters(), management, OperatorActions(db, CLOCK), CLOCK).view()
    assert [letter.id for letter in view.dead_letters] == ["n0"]
    assert {queue.state for queue in view.queues} == {None}
    assert len(view.wrong) == 1
    assert "secret" not in view.wrong[0]


Command = Callable[..., Awaitable[tuple[int | None, str]]]


@pytest.fixture
def command(amqp_url: str, db_url: str) -> Command:
    async def run(*options: str, **env: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *python("gateway.dashboard.dead_letters", *options),
            env={**os.environ, "AMQP_URL": amqp_url, "DB_URL": db_url, **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    return run


async def test_the_command_line_shows_the_state_of_each_queue(
    letters: Letters, command: Command, amqp_management_url: str
):
    await letters.refused(2)
    await letters.publish(4)

    async def counted() -> bool:
        code, output = await command("status", AMQP_MANAGEMENT_URL=amqp_management_url)
        lines = {line.split()[0]: line.split() for line in output.splitlines()}
        assert {"queue", RUNS.name, RUN_FINISHED.name, QUEUE} <= lines.keys(), output
        return (code, lines[QUEUE][1:3], lines[QUEUE][-2:]) == (0, ["4", "0"], ["0", "2"])

    await until(counted)
    code, output = await command("status")
    (line,) = (line for line in output.splitlines() if line.startswith(QUEUE))
    assert (code, line.split()[1:]) == (1, ["-"] * 8 + ["2"])
    assert "AMQP_MANAGEMENT_URL is not set" in output


async def test_the_command_line_does_the_same(letters: Letters, db: Database, command: Command):
    await letters.refused(3)
    run = command
    code, output = await run("list")
    assert (code, output.count("no such person")) == (0, 3), output
    code, output = await run("show", QUEUE, "n1")
    assert json.loads(output.splitlines()[-1])["event_id"] == "n1"
    code, output = await run("replay", QUEUE, "--all", "--dry-run")
    assert (code, output.splitlines()[-1]) == (0, "3 would be replayed, 3 left")
    code, output = await run("replay", QUEUE, "--id", "n1", "--as", "Ada")
    assert output.splitlines()[-1] == "1 replayed, 2 left"
    code, output = await run("drop", QUEUE, "--id", "n0", "--reason", " ")
    assert (code, "must say something" in output) == (2, True)
    code, output = await run("drop", QUEUE, "--all", "--reason", "old", "--dry-run")
    assert output.splitlines()[-1] == "2 would be dropped, 2 left"
    code, output = await run("drop", QUEUE, "--id", "n0", "--reason", "old")
    assert output.splitlines()[-1] == "1 dropped, 1 left"
    code, output = await run("replay", "no.such.queue", "--all")
    assert (code, QUEUE in output) == (1, True)
    lines = [(line["action"], line["dry_run"], line["ids"]) for line in await actions(db)]
    assert lines == [
        ("dead_letters.replay", True, ["n0", "n1", "n2"]),
        ("dead_letters.replay", False, ["n1"]),
        ("dead_letters.drop", True, ["n0", "n2"]),
        ("dead_letters.drop", False, ["n0"]),
    ]
    assert [line["actor"] for line in await actions(db)][1] == "Ada"
