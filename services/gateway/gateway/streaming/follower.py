"""One reader of one run, wherever the events come from.

Three sources, each a step slower than the one before: the channel (live), the stream (whatever the
channel may have missed), the stored run (when Redis is away or has lost the place). A follower moves
between them by itself; its cursor sees to it that every event comes once and in order.
"""

import asyncio
from collections import deque
from typing import Protocol, Self

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from common.log import get_logger
from common.run_stream import RunEvent
from gateway.streaming.cursor import Cursor
from gateway.streaming.replay import missing_events, never_started
from gateway.streaming.stored_runs import StoredRun

log = get_logger()

PENDING_MAX = 256
PAGE_MAX = 64
"""Entries read at once: a reader that is slow holds them until it has taken the last."""


class Sources(Protocol):
    """Where a follower reads beside its channel."""

    @property
    def connected(self) -> bool:
        """Tell whether the channels are heard at the moment."""
        ...

    async def read_stream(self, run_id: str, *, first_entry_id: str, limit: int) -> list[RunEvent]:
        """Return entries from `first_entry_id` on. Raises RedisError, OSError."""
        ...

    async def find_run(self, run_id: str, user_id: str) -> StoredRun | None: ...

    async def may_start(self, run_id: str, user_id: str) -> bool:
        """Tell whether a run that is not stored may still begin."""
        ...

    def leave(self, follower: "Follower") -> None: ...


class Follower:
    """Iterates over batches of events; an empty batch says that there was nothing for a while.

    Ends after `done`. Close it in any case: `with hub.follow(…) as follower`.
    """

    def __init__(
        self, sources: Sources, run_id: str, user_id: str, *, after_sequence: int, may_be_stored: bool
    ) -> None:
        self.run_id = run_id
        self.user_id = user_id
        self.heard_at = asyncio.get_running_loop().time()
        self.polls = False
        self._sources = sources
        self._cursor = Cursor(after_sequence)
        self._pending: deque[RunEvent] = deque()
        self._behind = False
        self._look_at_store = may_be_stored
        self._quiet = False
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop following. Closing twice does no harm."""
        self._ended = True
        self._pending.clear()
        self._sources.leave(self)
        self._wake()

    @property
    def sequence(self) -> int:
        """The last sequence that was given out."""
        return self._cursor.sequence

    @property
    def is_read(self) -> bool:
        """Tell whether someone waits for the next batch."""
        return self._waiter is not None

    def offer(self, event: RunEvent) -> None:
        """Take an event from the channel. A reader that is slow finds it in the stream later."""
        if len(self._pending) >= PENDING_MAX:
            self._pending.clear()
            self._behind = True
        self._pending.append(event)
        self._wake()

    def fall_behind(self) -> None:
        """Read the stream before anything else: the channel may have missed something."""
        self._behind = True
        self._wake()

    def check(self) -> None:
        """Nothing came for a while: look everywhere, and say so with an empty batch."""
        self._behind = self._look_at_store = self._quiet = True
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[RunEvent]:
        while not self._ended:
            events = await self._catch_up() if self._behind else self._take_pending()
            if events or self._quiet:
                self._quiet = False
                self.heard_at = asyncio.get_running_loop().time()
                self._ended = bool(events) and events[-1].is_last
                return events
            if not (self._behind or self._pending or self._ended):
                await self._wait()
        raise StopAsyncIteration

    def _take_pending(self) -> list[RunEvent]:
        events: list[RunEvent] = []
        while self._pending:
            event = self._pending.popleft()
            if not self._cursor.is_behind(event):
                continue
            if not self._cursor.is_next(event):
                # The stream has this one too, behind the one that is missing; or it has lost that one,
                # and we poll already.
                self._behind = not self.polls
                self._pending.clear()
                break
            needed = self._cursor.take(event)
            if needed is not None:
                events.append(needed)
        return events

    async def _catch_up(self) -> list[RunEvent]:
        # Cleared first: what comes in while we read must not be forgotten.
        self._behind = False
        look_at_store, self._look_at_store = self._look_at_store, False
        entries = await self._read_stream()
        new = None if entries is None else self._cursor.new_among(entries)
        if new:
            self.polls = False
            self._behind = entries is not None and len(entries) == PAGE_MAX
            return [needed for event in new if (needed := self._cursor.take(event)) is not None]
        if new is None or look_at_store or self.polls:
            self.polls = new is None
            return await self._read_store(stream_goes_on=new is not None and not self._quiet)
        return []

    async def _read_stream(self) -> list[RunEvent] | None:
        if not self._sources.connected:
            return None
        try:
            return await self._sources.read_stream(
                self.run_id, first_entry_id=self._cursor.first_entry_id, limit=PAGE_MAX
            )
        except (RedisError, OSError) as error:
            log.warning("stream_not_read", run_id=self.run_id, error=type(error).__name__)
            return None

    async def _read_store(self, *, stream_goes_on: bool) -> list[RunEvent]:
        try:
            run = await self._sources.find_run(self.run_id, self.user_id)
            if run is None:
                if await self._sources.may_start(self.run_id, self.user_id):
                    return []
                # A worker claims, then reads the message. One that was taken back since may have been read.
                run = await self._sources.find_run(self.run_id, self.user_id)
            if run is not None:
                return missing_events(run, self._cursor, stream_goes_on=stream_goes_on)
        except PyMongoError as error:
            log.warning("run_not_read", run_id=self.run_id, error=type(error).__name__)
            self.polls = True
            return []
        return never_started(self._cursor)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
