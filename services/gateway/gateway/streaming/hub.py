"""Follows the runs that this process's streams show: one connection to Redis for all of them."""

import asyncio
from typing import cast

from redis.asyncio import Redis

from common.clock import Clock
from common.run_stream import RunEvent, from_entry, from_message, stream_key
from common.tasks import cancel_all
from gateway.redis_breaker import REDIS_ERRORS, Breaker
from gateway.streaming.channels import Channels
from gateway.streaming.follower import Follower
from gateway.streaming.stored_runs import StoredRun, StoredRuns

_QUIET_S = 10.0
_POLL_S = 1.0
_ABANDONED_S = 120.0
_READS_AT_ONCE = 12


class RunHub:
    """Hands out followers, and tells each what its run's channel says.

    One per process, with `run` beside it. `quiet_s`: after how long a silence a follower looks for
    itself. Once `stopping` is set all followers end, so that their clients move to another gateway.
    """

    def __init__(
        self,
        redis: Redis,
        stored: StoredRuns,
        clock: Clock,
        *,
        stopping: asyncio.Event,
        quiet_s: float = _QUIET_S,
        poll_s: float = _POLL_S,
    ) -> None:
        self._redis = redis
        self._stored = stored
        self._clock = clock
        self._stopping = stopping
        self._quiet_s = quiet_s
        self._poll_s = poll_s
        self._followers: dict[bytes, set[Follower]] = {}
        self._channels = Channels(
            redis.connection_pool, on_message=self._on_message, on_confirmed=self._on_confirmed
        )
        # A thousand readers that lose Redis at once must not ask all at once.
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)
        self._breaker = Breaker(clock)

    async def run(self) -> None:
        """Listen, and look after the followers, until cancelled."""
        tasks = [asyncio.create_task(self._channels.run()), asyncio.create_task(self._tick())]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            await cancel_all(tasks)
            for follower in self._all_followers():
                follower.close()

    @property
    def followers(self) -> int:
        return sum(len(followers) for followers in self._followers.values())

    @property
    def channels(self) -> int:
        return self._channels.count

    @property
    def connected(self) -> bool:
        """Tell whether Redis is worth asking. One that hangs is left alone for a while."""
        return self._channels.connected and not self._breaker.is_open

    def follow(
        self, run_id: str, user_id: str, *, after_sequence: int = 0, may_be_stored: bool = True
    ) -> Follower:
        """Follow a run of the user's from behind `after_sequence` on.

        Listening begins at once. `may_be_stored=False` is for a run that is only about to be asked for.
        """
        follower = Follower(self, run_id, user_id, after_sequence=after_sequence, may_be_stored=may_be_stored)
        channel = _channel_of(run_id)
        followers = self._followers.get(channel)
        if followers is None:
            self._followers[channel] = {follower}
            self._channels.subscribe(channel)
        else:
            followers.add(follower)
        if may_be_stored or followers is not None:
            # A new subscription's confirmation is a reason to read once more.
            follower.fall_behind()
        return follower

    def leave(self, follower: Follower) -> None:
        channel = _channel_of(follower.run_id)
        followers = self._followers.get(channel)
        if followers is None or follower not in followers:
            return
        followers.discard(follower)
        if not followers:
            del self._followers[channel]
            self._channels.unsubscribe(channel)

    async def read_stream(self, run_id: str, *, first_entry_id: str, limit: int) -> list[RunEvent]:
        async with self._reads:
            try:
                entries = await self._redis.xrange(stream_key(run_id), min=first_entry_id, count=limit)
            except REDIS_ERRORS as error:
                self._breaker.trip(error)
                raise
        return [from_entry(*entry) for entry in cast(list[tuple[bytes, dict[bytes, bytes]]], entries)]

    async def find_run(self, run_id: str, user_id: str) -> StoredRun | None:
        async with self._reads:
            return await self._stored.find(run_id, user_id)

    async def may_start(self, run_id: str, user_id: str) -> bool:
        async with self._reads:
            return await self._stored.may_start(run_id, user_id, now=self._clock.now())

    def _on_message(self, channel: bytes, body: bytes) -> None:
        followers = self._followers.get(channel)
        if followers:
            event = from_message(body)
            for follower in followers:
                follower.offer(event)

    def _on_confirmed(self, channel: bytes) -> None:
        for follower in self._followers.get(channel, ()):
            follower.fall_behind()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._poll_s)
            now = loop.time()
            for follower in self._all_followers():
                self._look_after(follower, silent_s=now - follower.heard_at)

    def _look_after(self, follower: Follower, *, silent_s: float) -> None:
        if self._stopping.is_set():
            follower.close()
        elif not follower.is_read:
            # Its response never began, or its client does not read: both are cut elsewhere; this is the net.
            if silent_s > _ABANDONED_S:
                follower.close()
        elif silent_s >= self._quiet_s:
            follower.check()
        elif follower.polls or not self.connected:
            follower.fall_behind()

    def _all_followers(self) -> list[Follower]:
        return [follower for followers in self._followers.values() for follower in followers]


def _channel_of(run_id: str) -> bytes:
    return stream_key(run_id).encode()
