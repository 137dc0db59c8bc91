"""Gateways die or restart under open streams, clients read nothing, press twice, or all at once."""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import psutil
import pytest

from common import redis_client
from common.ids import new_id
from support.chat_client import ChatClient
from support.faulty_stack import FaultyStack, running_faulty_stack
from support.finished_runs import booked_tokens
from support.patient import Reading, ask_patiently
from support.run_writer import USER, RunWriter, message_row
from support.servers import PrivateServers
from support.sim import sim, tokens

MIB = 1024 * 1024
PIECES = 3_000


@pytest.fixture(scope="module")
async def product(
    mortal_servers: PrivateServers, mortal_management: httpx.AsyncClient
) -> AsyncGenerator[FaultyStack]:
    env = {
        "OAI_ASSISTANT": "test-background",
        "RUNS_MAX": "250",
        "RUNS_PER_USER": "250",
        "STREAMS_PER_USER": "250",
        "TOKEN_BALANCE": "1000000",
        "SEND_TIMEOUT_S": "3",
        "DRAIN_S": "3",
    }
    async with running_faulty_stack(
        mortal_servers, mortal_management, gateways=2, workers=2, ledgers=2, env=env
    ) as stack:
        yield stack


async def at_both_gateways(product: FaultyStack) -> list[ChatClient]:
    """One new user with an account, as a client of each gateway."""
    user_id = new_id("q")
    clients = [product.client(user_id, gateway=number) for number in range(2)]
    await clients[0].open()
    return clients


@pytest.mark.timeout(600)
async def test_f11_two_hundred_streams_outlive_their_gateway(product: FaultyStack):
    users = [await at_both_gateways(product) for _ in range(10)]
    begun: dict[str, Reading] = {}
    asking: list[asyncio.Task[Reading]] = []

    def on_event(reading: Reading) -> None:
        if reading.text:
            begun[reading.run_id] = reading

    async def ask(number: int) -> Reading:
        clients = users[number % len(users)]
        text = sim(f"question {number}", reply_tokens=200, delta_tokens=5, tokens_per_s=3)
        thread_id = await clients[0].new_thread()
        return await ask_patiently(
            clients, thread_id, text, client_message_id=f"c-{number}", on_event=on_event
        )

    # Ten at a time: how a gateway refuses what comes all at once is another matter.
    for first in range(0, 200, 10):
        asking += [asyncio.create_task(ask(number)) for number in range(first, first + 10)]
        async with asyncio.timeout(60):
            while len(begun) < len(asking):
                await asyncio.sleep(0.02)
    [doomed, _] = product.gateways
    doomed.program.send(signal.SIGKILL)
    # All but those that a slow machine has read to the end by now, or sent to the other gateway.
    cut = {
        run_id: reading.connections
        for run_id, reading in begun.items()
        if reading.status is None and reading.connections % 2
    }
    await doomed.program.ended()
    readings = await asyncio.gather(*asking)
    await doomed.restart()
    assert {(reading.status, reading.text) for reading in readings} == {("completed", tokens(200))}
    assert [reading.run_id for reading in readings if not reading.is_whole] == []
    assert len(cut) > 100
    assert [run_id for run_id, before in cut.items() if begun[run_id].connections == before] == []
    assert len({reading.run_id for reading in readings}) == 200
    stored = product.db["runs"].find({"_id": {"$in": [reading.run_id for reading in readings]}}, {"text": 1})
    assert [run["text"] async for run in stored] == [tokens(200)] * 200
    await product.settled()
    for clients in users:
        # A message that was refused once under this load, and sent again, has a run that cost nothing.
        assert len([cost for cost in await booked_tokens(product, clients[0].user_id) if cost]) == 20


@asynccontextmanager
async def run_written_by_hand(product: FaultyStack, reader: ChatClient) -> AsyncGenerator[RunWriter]:
    """An active run of the reader, who is `USER`, that the test writes itself; gone after the block."""
    thread_id = (await reader.open())["thread"]["id"]
    redis = redis_client.connect(product.env["REDIS_URL"])
    writer = RunWriter(redis, new_id("r"))
    await product.db["messages"].insert_one(message_row(writer.run_id, thread_id=thread_id))
    await writer.store(product.db)
    try:
        yield writer
    finally:
        await redis.aclose()
        for collection in ("runs", "messages"):
            await product.db[collection].delete_many({"user_id": USER})


async def test_f12_a_hundred_clients_that_read_next_to_nothing_cost_no_memory_and_are_cut(
    product: FaultyStack,
):
    [gateway, _] = product.gateways
    reader = product.client(USER)
    async with AsyncExitStack() as here, run_written_by_hand(product, reader) as writer:
        reading = asyncio.create_task(reader.replay(writer.run_id))
        lazy = await here.enter_async_context(lazy_readers(gateway.port, writer.run_id, reader.token))

        async def streams_are(count: int) -> bool:
            return await product.metric(gateway, "chat_streams_open") == count

        await product.until(lambda: streams_are(len(lazy) + 1))
        process = psutil.Process(gateway.program.pid)
        before = peak = process.memory_info().rss
        await writer.begin()
        for _ in range(PIECES):
            await writer.say("x" * 2_048)
            peak = max(peak, process.memory_info().rss)
        await product.until(lambda: streams_are(1))
        peak = max(peak, process.memory_info().rss)
        await writer.finish()
        answer = await reading
    assert answer.text == "x" * 2_048 * PIECES
    # Beside them are the answer itself, and the one who reads it all.
    assert peak - before < MIB * len(lazy) / 10 + 3 * len(answer.text)
    await product.settled()


@asynccontextmanager
async def lazy_readers(port: int, run_id: str, token: str) -> AsyncGenerator[list[socket.socket]]:
    """Have a hundred of them, half of whom read a byte a second."""
    lazy = [lazy_reader(port, run_id, token) for _ in range(100)]
    slow = [asyncio.create_task(read_a_byte_a_second(client)) for client in lazy[:50]]
    try:
        yield lazy
    finally:
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        for client in lazy:
            client.close()


def lazy_reader(port: int, run_id: str, token: str) -> socket.socket:
    """Ask for a run's events and read none of them."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET /chat/runs/{run_id}/events?s={token} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    client.setblocking(False)
    return client


async def read_a_byte_a_second(client: socket.socket) -> None:
    while await asyncio.get_running_loop().sock_recv(client, 1):
        await asyncio.sleep(1)


async def test_f24_of_fifty_messages_to_one_thread_at_two_gateways_one_starts(product: FaultyStack):
    clients = await at_both_gateways(product)
    thread_id = await clients[0].new_thread()

    # It is being answered until the last one is refused.
    text = sim(reply_tokens=60, tokens_per_s=2)

    async def send(number: int) -> str:
        while True:
            try:
                answer = await clients[number % 2].ask(thread_id, text, client_message_id=f"c-{number}")
            except httpx.HTTPStatusError as refusal:
                if refusal.response.status_code == 503:
                    # Told to come back: as a browser does, with the same message.
                    await asyncio.sleep(int(refusal.response.headers["retry-after"]))
                    continue
                return refusal.response.json()["code"]
            return answer.status or ""

    assert Counter(await asyncio.gather(*map(send, range(50)))) == {"completed": 1, "thread_busy": 49}
    await product.settled()
    # A message that was refused for the moment may have a run that cost nothing.
    assert len([cost for cost in await booked_tokens(product, clients[0].user_id) if cost]) == 1


async def test_f24_one_message_sent_fifty_times_at_two_gateways_is_one_run(product: FaultyStack):
    clients = await at_both_gateways(product)
    thread_id = await clients[0].new_thread()
    text = sim(reply_tokens=60, tokens_per_s=20)
    readings = await asyncio.gather(
        *(
            ask_patiently(clients[number % 2 :], thread_id, text, client_message_id="c-1")
            for number in range(50)
        )
    )
    assert {(reading.status, reading.text) for reading in readings} == {("completed", tokens(60))}
    assert len({reading.run_id for reading in readings}) == 1
    await product.settled()
    assert len(await booked_tokens(product, clients[0].user_id)) == 1


@pytest.mark.timeout(600)
async def test_f27_everything_restarts_in_turn_under_fifty_streams_and_no_answer_fails(product: FaultyStack):
    """Sixty users send one message after the other, so that fifty streams are open at any time."""
    users = [await at_both_gateways(product) for _ in range(60)]
    over = asyncio.Event()

    async def keep_asking(clients: list[ChatClient]) -> list[Reading]:
        thread_id = await clients[0].new_thread()
        readings: list[Reading] = []
        while not over.is_set():
            text = sim(f"question {len(readings)}", reply_tokens=300, delta_tokens=5, tokens_per_s=15)
            message_id = f"c-{len(readings)}"
            reading = await ask_patiently(clients, thread_id, text, client_message_id=message_id)
            assert (reading.status, reading.text) == ("completed", tokens(300)), reading.answer.events[-3:]
            readings.append(reading)
        return readings

    async def fifty_are_open() -> bool:
        return sum([await product.metric(part, "chat_streams_open") for part in product.gateways]) >= 50

    asking = asyncio.gather(*map(keep_asking, users))
    try:
        for part in [*product.gateways, *product.workers, *product.ledgers]:
            await product.until(fifty_are_open)
            part.program.send(signal.SIGTERM)
            assert await part.program.ended(within_s=60) == 0
            await part.restart()
    finally:
        over.set()
    readings = [reading for of_user in await asking for reading in of_user]
    await product.settled()
    rows = await product.usage_rows(run_id={"$in": [reading.run_id for reading in readings]})
    assert (len(rows), {row["estimated"] for row in rows}) == (len(readings), {False})
    assert await product.dead_letters() == 0
