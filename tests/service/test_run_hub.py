"""Following runs over a real Redis: every chunk once and in order, whatever happens to Redis."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import orjson
import pytest
from redis.asyncio import Redis

from common import redis_client
from common.clock import SystemClock
from common.ids import new_id
from common.mongo import client as mongo
from common.mongo.client import Database
from common.run_stream import RunEvent, stream_key
from common.tasks import background_tasks
from gateway.streaming.follower import Follower
from gateway.streaming.hub import RunHub
from gateway.streaming.stored_runs import StoredRuns
from support.processes import Program, accepts, free_port
from support.run_writer import USER, RunWriter, message_row

CHUNKS = ("Wh", "at", " is ", "🙂", "\n\n", "to", "kens", "?")


@pytest.fixture
async def db(db_url: str) -> AsyncGenerator[Database]:
    database = mongo.connect(db_url, service="test")
    yield database
    database.client.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncGenerator[Redis]:
    client = redis_client.connect(redis_url, timeout_s=20)
    yield client
    await client.aclose()


async def until_connected(hub: RunHub) -> None:
    async with asyncio.timeout(30):
        while not hub.connected:
            await asyncio.sleep(0.01)


async def until_listening(redis: Redis, *writers: RunWriter) -> None:
    """Wait until Redis has agreed to tell of these runs."""
    channels = [stream_key(writer.run_id) for writer in writers]
    async with asyncio.timeout(20):
        while not all(listeners for _, listeners in await redis.pubsub_numsub(*channels)):
            await asyncio.sleep(0.01)


async def until_read(follower: Follower, sequence: int) -> None:
    """Wait until a reader has had so many events."""
    async with asyncio.timeout(20):
        while follower.sequence < sequence:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running_hub(redis: Redis, db: Database, **options: float) -> AsyncGenerator[RunHub]:
    hub = RunHub(redis, StoredRuns(db), SystemClock(), stopping=asyncio.Event(), **options)
    async with background_tasks(hub.run()):
        await until_connected(hub)
        yield hub


@pytest.fixture
async def hub(redis: Redis, db: Database) -> AsyncGenerator[RunHub]:
    async with running_hub(redis, db, quiet_s=1.0, poll_s=0.1) as running:
        yield running
        assert (running.followers, running.channels) == (0, 0)


async def asked_run(redis: Redis, db: Database) -> RunWriter:
    """A run that was asked for and that no worker has claimed yet."""
    writer = RunWriter(redis, new_id("r"))
    await db["messages"].insert_one(message_row(writer.run_id))
    return writer


async def all_of(follower: Follower, *, within_s: float = 20) -> list[RunEvent]:
    """Read to the end and leave."""
    with follower:
        async with asyncio.timeout(within_s):
            return [event async for events in follower for event in events]


async def first_of(follower: Follower, count: int) -> list[RunEvent]:
    events = list[RunEvent]()
    async with asyncio.timeout(20):
        while len(events) < count:
            events += await anext(follower)
    return events[:count]


def text_of(events: Iterable[RunEvent]) -> str:
    """Put the answer together as a browser does."""
    text = ""
    for event in events:
        if event.kind == "delta":
            data = orjson.loads(event.data)
            text = text[: data["at"]] + data["text"]
    return text


def plain_text_of(events: Iterable[RunEvent]) -> str:
    """Put the answer together as a client does that does not know `at`."""
    return "".join(orjson.loads(event.data)["text"] for event in events if event.kind == "delta")


async def write(writer: RunWriter, chunks: Iterable[str] = CHUNKS, *, pause_s: float = 0.0) -> None:
    await writer.begin()
    for chunk in chunks:
        await writer.say(chunk)
        await asyncio.sleep(pause_s)
    await writer.finish()


async def test_a_live_run_arrives_in_order_and_ends(hub: RunHub, redis: Redis, db: Database) -> None:
    writer = await asked_run(redis, db)
    reading = asyncio.create_task(all_of(hub.follow(writer.run_id, USER)))
    await until_listening(redis, writer)
    await write(writer, pause_s=0.005)
    events = await reading
    assert [event.sequence for event in events] == list(range(1, writer.sequence + 1))
    assert plain_text_of(events) == "".join(CHUNKS)


async def test_a_late_reader_gets_what_is_in_the_stream_already(hub: RunHub, redis: Redis) -> None:
    writer = RunWriter(redis, new_id("r"))
    await write(writer)
    assert plain_text_of(await all_of(hub.follow(writer.run_id, USER))) == "".join(CHUNKS)


async def test_cut_at_any_point_and_resumed_elsewhere_each_chunk_comes_once(
    hub: RunHub, redis: Redis, db: Database
) -> None:
    async with running_hub(redis, db) as other:
        for cut in range(1, len(CHUNKS) + 3):
            writer = await asked_run(redis, db)
            with hub.follow(writer.run_id, USER) as follower:
                writing = asyncio.create_task(write(writer, pause_s=0.002))
                before = await first_of(follower, cut)
            after = await all_of(other.follow(writer.run_id, USER, after_sequence=cut))
            await writing
            sequences = [event.sequence for event in (*before, *after)]
            assert sequences == list(range(1, len(CHUNKS) + 4)), f"cut after {cut}"
            assert plain_text_of((*before, *after)) == "".join(CHUNKS)


async def test_what_the_channel_lost_is_read_from_the_stream(hub: RunHub, redis: Redis, db: Database) -> None:
    writer = await asked_run(redis, db)
    with hub.follow(writer.run_id, USER) as follower:
        await writer.begin()
        await first_of(follower, 1)
        await writer.append_unheard("delta", text="un", at=0)
        await writer.append_unheard("delta", text="heard", at=2)
        await writer.append("delta", text="!", at=7)
        assert plain_text_of(await first_of(follower, 3)) == "unheard!"


async def test_an_end_that_the_channel_lost_is_found(hub: RunHub, redis: Redis, db: Database) -> None:
    writer = await asked_run(redis, db)
    follower = hub.follow(writer.run_id, USER)
    reading = asyncio.create_task(all_of(follower))
    await writer.begin()
    await until_read(follower, 1)
    await writer.append_unheard("done", status="completed")
    assert [event.kind for event in await reading] == ["run", "done"]


async def test_a_worker_that_was_fenced_off_is_not_heard(hub: RunHub, redis: Redis, db: Database) -> None:
    old = await asked_run(redis, db)
    reading = asyncio.create_task(all_of(hub.follow(old.run_id, USER)))
    await old.begin()
    await old.say("Be")
    new = RunWriter(redis, old.run_id, fence=2, sequence=old.sequence, text=old.text)
    await new.say("cause")
    # Its append is refused, but what it says on the channel is heard.
    await redis.publish(stream_key(old.run_id), b'1-4\ndelta\n{"text":"stale","at":7}')
    await new.finish()
    assert plain_text_of(await reading) == "Because"


async def test_nonsense_on_a_channel_ends_nothing(hub: RunHub, redis: Redis, db: Database) -> None:
    writer = await asked_run(redis, db)
    reading = asyncio.create_task(all_of(hub.follow(writer.run_id, USER)))
    await until_listening(redis, writer)
    await redis.publish(stream_key(writer.run_id), b"nonsense")
    await write(writer)
    assert plain_text_of(await reading) == "".join(CHUNKS)


async def test_two_hundred_readers_share_one_connection(hub: RunHub, redis: Redis, db: Database) -> None:
    connections = len(await redis.client_list())
    writers = [await asked_run(redis, db) for _ in range(100)]
    readers = [
        asyncio.create_task(all_of(hub.follow(writer.run_id, USER))) for writer in (*writers, *writers)
    ]
    await until_listening(redis, *writers)
    assert (hub.followers, hub.channels) == (200, 100)
    subscribed = [c for c in await redis.client_list() if int(c["sub"]) == 100]
    assert len(subscribed) == 1
    await asyncio.gather(*(write(writer, pause_s=0.01) for writer in writers))
    texts = [plain_text_of(events) for events in await asyncio.gather(*readers)]
    assert texts == ["".join(CHUNKS)] * 200
    # The command pool is bounded; no reader brought a connection of its own.
    assert len(await redis.client_list()) <= connections + 16


async def test_a_reader_that_pauses_misses_nothing_and_holds_up_nobody(
    hub: RunHub, redis: Redis, db: Database
) -> None:
    writer = await asked_run(redis, db)
    chunks = [f"{number} " for number in range(1_000)]
    with hub.follow(writer.run_id, USER) as slow:
        quick = asyncio.create_task(all_of(hub.follow(writer.run_id, USER)))
        await write(writer, chunks)
        assert plain_text_of(await quick) == "".join(chunks)
        assert len(slow._pending) <= 256
        assert plain_text_of(await all_of(slow)) == "".join(chunks)


async def test_a_run_that_is_only_stored_is_replayed(hub: RunHub, redis: Redis, db: Database) -> None:
    writer = RunWriter(redis, new_id("r"), sequence=8, text="Because.")
    await writer.store(db, state="completed")
    events = await all_of(hub.follow(writer.run_id, USER))
    assert [event.kind for event in events] == ["run", "delta", "usage", "done"]
    assert text_of(events) == "Because."


async def test_another_users_run_is_not_replayed(hub: RunHub, redis: Redis, db: Database) -> None:
    writer = RunWriter(redis, new_id("r"), sequence=8, text="Because.")
    await writer.store(db, state="completed")
    await db["messages"].insert_one(message_row(writer.run_id))
    assert [event.kind for event in await all_of(hub.follow(writer.run_id, "another"))] == ["error", "done"]


async def test_flushing_redis_in_the_middle_loses_nothing(hub: RunHub, redis: Redis, db: Database) -> None:
    writer = await asked_run(redis, db)
    follower = hub.follow(writer.run_id, USER)
    reading = asyncio.create_task(all_of(follower))
    await writer.begin()
    await writer.say("Half ")
    await until_read(follower, 2)
    await redis.flushdb()
    late = asyncio.create_task(all_of(hub.follow(writer.run_id, USER)))
    await asyncio.sleep(0.05)
    await writer.say("an answer")
    await writer.store(db)
    await asyncio.sleep(0.3)
    await writer.finish()
    assert plain_text_of(await reading) == "Half an answer"
    assert text_of(await late) == "Half an answer"


@asynccontextmanager
async def own_redis(port: int) -> AsyncGenerator[None]:
    program = Program("redis", ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"])
    try:
        await program.until_ready(lambda: accepts(port))
        yield
        program.send(signal.SIGKILL)
        await program.ended()
    finally:
        await program.close()


@pytest.fixture
async def mortal_redis() -> AsyncGenerator[tuple[Redis, int]]:
    """A client of a Redis that is not there until the test starts it, and its port."""
    port = free_port()
    client = redis_client.connect(f"redis://127.0.0.1:{port}", timeout_s=20)
    yield client, port
    await client.aclose()


async def until_heard_again(hub: RunHub, redis: Redis) -> None:
    await until_connected(hub)
    # What the writer below sends must not meet a connection to the Redis that was killed.
    await redis.connection_pool.disconnect()


async def test_redis_killed_and_started_anew_in_the_middle(
    mortal_redis: tuple[Redis, int], db: Database
) -> None:
    redis, port = mortal_redis
    writer = await asked_run(redis, db)
    hub = RunHub(redis, StoredRuns(db), SystemClock(), stopping=asyncio.Event(), poll_s=0.1)
    async with background_tasks(hub.run()):
        async with own_redis(port):
            followers = [hub.follow(writer.run_id, USER) for _ in range(20)]
            readers = [asyncio.create_task(all_of(follower, within_s=60)) for follower in followers]
            await until_heard_again(hub, redis)
            await writer.begin()
            await writer.say("Before. ")
            for follower in followers:
                await until_read(follower, 2)
        # Redis is gone with all it had: the worker cannot show what it writes, but stores it.
        writer.skip("Meanwhile. ")
        await writer.store(db)
        resumed = asyncio.create_task(all_of(hub.follow(writer.run_id, USER, after_sequence=2), within_s=60))
        await asyncio.sleep(0.5)
        async with own_redis(port):
            await until_heard_again(hub, redis)
            await writer.say("After.")
            await writer.finish()
            for events in await asyncio.gather(*readers):
                assert plain_text_of(events) == "Before. Meanwhile. After."
            assert text_of(await resumed) == "Before. Meanwhile. After."
        assert (hub.followers, hub.channels) == (0, 0)


async def test_without_redis_answers_still_arrive(mortal_redis: tuple[Redis, int], db: Database) -> None:
    redis, _ = mortal_redis
    hub = RunHub(redis, StoredRuns(db), SystemClock(), stopping=asyncio.Event(), poll_s=0.1)
    writer = RunWriter(redis, new_id("r"), sequence=3, text="Half ")
    await db["messages"].insert_one(message_row(writer.run_id))
    async with background_tasks(hub.run()):
        reading = asyncio.create_task(all_of(hub.follow(writer.run_id, USER, may_be_stored=False)))
        await asyncio.sleep(0.2)
        await writer.store(db)
        await asyncio.sleep(0.3)
        writer.skip("an answer")
        await writer.store(db, state="completed", last_sequence=7)
        events = await reading
    assert plain_text_of(events) == "Half an answer"
    assert events[-1].is_last


async def test_stopping_ends_all_streams_so_that_clients_go_elsewhere(redis: Redis, db: Database) -> None:
    stopping = asyncio.Event()
    hub = RunHub(redis, StoredRuns(db), SystemClock(), stopping=stopping, poll_s=0.05)
    async with background_tasks(hub.run()):
        reading = asyncio.create_task(all_of(hub.follow(new_id("r"), USER, may_be_stored=False)))
        await asyncio.sleep(0.1)
        stopping.set()
        assert await reading == []
        assert hub.followers == 0


async def test_followers_that_come_and_go_leave_nothing_behind(hub: RunHub, redis: Redis) -> None:
    before = asyncio.all_tasks()
    for _ in range(50):
        followers = [hub.follow(new_id("r"), USER) for _ in range(10)]
        reading = [asyncio.create_task(anext(follower)) for follower in followers]
        await asyncio.sleep(0)
        for task in reading[::2]:
            task.cancel()
        for follower in followers:
            follower.close()
        await asyncio.gather(*reading, return_exceptions=True)
    assert (hub.followers, hub.channels) == (0, 0)
    assert asyncio.all_tasks() <= before
    async with asyncio.timeout(20):
        while await redis.pubsub_channels("run:*"):
            await asyncio.sleep(0.05)
