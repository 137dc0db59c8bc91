"""One connection to Redis that listens to any number of channels.

What is heard is never relied upon: the stream of the same name is the truth. So a lost connection loses
nothing but time, and every confirmed subscription is a reason to read the stream.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from common.log import get_logger

log = get_logger()

_PING_S = 5.0
_SILENCE_MAX_S = 15.0
_RECONNECT_PAUSE_S = 0.5
_CHANNELS_PER_COMMAND = 500


class ConnectionSilent(RedisError):
    """Redis answers neither pings nor anything else."""


class Channels:
    """Subscribes on demand. `on_message` gets a channel and a body, `on_confirmed` a channel."""

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        on_message: Callable[[bytes, bytes], None],
        on_confirmed: Callable[[bytes], None],
    ) -> None:
        self._pool = pool
        self._on_message = on_message
        self._on_confirmed = on_confirmed
        self._wanted: set[bytes] = set()
        self._changes: deque[tuple[str, bytes]] = deque()
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self.connected = False

    @property
    def count(self) -> int:
        return len(self._wanted)

    def subscribe(self, channel: bytes) -> None:
        """Listen from now on; `on_confirmed` says when Redis has agreed, and again after each reconnect."""
        self._wanted.add(channel)
        self._change("SUBSCRIBE", channel)

    def unsubscribe(self, channel: bytes) -> None:
        self._wanted.discard(channel)
        self._change("UNSUBSCRIBE", channel)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            try:
                await self._serve()
            except (RedisError, OSError) as error:
                log.warning("redis_channels_lost", error=type(error).__name__)
            except Exception:
                # The edge: what one run's channel says must not end the others' for good.
                log.exception("redis_channels_failed")
            await asyncio.sleep(_RECONNECT_PAUSE_S)

    async def _serve(self) -> None:
        connection = self._pool.make_connection()
        tasks = list[asyncio.Task[None]]()
        try:
            await connection.connect()
            _raise_if_cancelled()
            self._changes = deque(("SUBSCRIBE", channel) for channel in self._wanted)
            self._changed.set()
            self._heard_at = asyncio.get_running_loop().time()
            self.connected = True
            tasks = [
                asyncio.create_task(self._read(connection)),
                asyncio.create_task(self._write(connection)),
            ]
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            self.connected = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await connection.disconnect(nowait=True)

    async def _read(self, connection: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            heard = cast(
                Any,
                await connection.read_response(
                    timeout=math.inf, disconnect_on_error=False, push_request=True
                ),
            )
            self._heard_at = loop.time()
            match heard:
                case [b"message", channel, body]:
                    self._on_message(channel, body)
                case [b"subscribe", channel, _]:
                    self._on_confirmed(channel)
                case _:  # a pong, or the end of a subscription
                    pass

    async def _write(self, connection: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() - self._heard_at < _SILENCE_MAX_S:
            try:
                async with asyncio.timeout(_PING_S):
                    await self._changed.wait()
            except TimeoutError:
                await _send(connection, "PING")
                continue
            self._changed.clear()
            while self._changes:
                await _send(connection, *self._next_command())
        raise ConnectionSilent

    def _next_command(self) -> list[str | bytes]:
        # Neighbours of the same kind go out together: many streams open and close at once.
        verb, channel = self._changes.popleft()
        command: list[str | bytes] = [verb, channel]
        while self._changes and self._changes[0][0] == verb and len(command) < _CHANNELS_PER_COMMAND:
            command.append(self._changes.popleft()[1])
        return command

    def _change(self, verb: str, channel: bytes) -> None:
        if self.connected:
            self._changes.append((verb, channel))
            self._changed.set()


async def _send(connection: AbstractConnection, *command: str | bytes) -> None:
    # The library's own health check would read the answer that the reader is waiting for.
    await connection.send_command(*command, check_health=False)
    _raise_if_cancelled()


def _raise_if_cancelled() -> None:
    # The library waits with `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes
    # just as it ends.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
