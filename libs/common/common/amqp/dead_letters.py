"""Dead letters: what was set aside, why, and how it is tried again or dropped.

To look at a queue is to take its messages and give them back, so what one operator looks at, another does
not see for that moment. A replayed letter starts anew, with all its attempts: it is published to its
queue under its own id first and taken off second, so a crash in between only makes it come twice.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError

from common.amqp.delivery import DEAD_REASON_HEADER, attempt_of
from common.amqp.publisher import Publisher, Route
from common.amqp.topology import Queue
from common.errors import Unavailable

LETTERS_MAX = 1_000
"""As many are looked at in one go, and are in memory meanwhile."""

PER_S = 200.0
"""So many are sent again in a second, so that what comes for the first time has its turn too."""

_TIMEOUT_S = 30.0
_BACK_WITHIN_S = 2.0
_LOOK_EVERY_S = 0.02
_REPLAYED_BY_HEADER = "x-replayed-by"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter. `attempts` is how often it was tried, `at` is when it was set aside, if known.

    `id` is the message's own; one made from its body where it has none.
    """

    id: str
    queue: str
    type: str
    reason: str
    attempts: int
    at: datetime | None
    body: bytes


class DeadLetters:
    """Reads and empties the queues of dead letters. Every call has a channel of its own."""

    def __init__(self, open_channel: Callable[[], Awaitable[AbstractChannel]], publisher: Publisher) -> None:
        self._open_channel = open_channel
        self._publisher = publisher

    async def depth(self, queue: Queue) -> int:
        """Count what is set aside. Raises Unavailable."""
        async with self._dead(queue) as (channel, _):
            return await _count(channel, queue)

    async def look(self, queue: Queue, *, limit: int = LETTERS_MAX) -> list[Letter]:
        """Return the oldest letters. Raises Unavailable."""
        async with self._dead(queue) as (channel, source):
            found = await _take(source, limit)
            await _give_back(found, channel, queue)
        return [_letter(incoming, queue) for incoming in found]

    async def replay(
        self,
        queue: Queue,
        ids: Collection[str] | None,
        *,
        by: str,
        done: list[Letter] | None = None,
        per_s: float = PER_S,
    ) -> list[Letter]:
        """Send letters to their queue again, those with the ids or all, `per_s` a second; return them.

        Looks at no more than `LETTERS_MAX`. Raises Unavailable; `done` has what was sent by then.
        """
        pause_s, sent = 1 / per_s, [] if done is None else done

        async def replay(incoming: AbstractIncomingMessage, letter: Letter) -> None:
            # No other header travels on: a copy that keeps `x-death` is taken for a cycle and dropped.
            route = Route(
                exchange="",
                routing_key=queue.name,
                message_id=incoming.message_id or "",
                type=incoming.type or "",
                headers={_REPLAYED_BY_HEADER: by},
            )
            await asyncio.gather(self._publisher.publish_raw(incoming.body, route), asyncio.sleep(pause_s))
            sent.append(letter)
            await incoming.ack()

        await self._each(queue, ids, replay, within_s=_TIMEOUT_S + LETTERS_MAX * pause_s)
        return sent

    async def drop(
        self, queue: Queue, ids: Collection[str] | None, *, done: list[Letter] | None = None
    ) -> list[Letter]:
        """Throw letters away, those with the ids or all; return them.

        Raises Unavailable; `done` has what is gone by then.
        """
        gone = [] if done is None else done

        async def drop(incoming: AbstractIncomingMessage, letter: Letter) -> None:
            await incoming.ack()
            gone.append(letter)

        await self._each(queue, ids, drop)
        return gone

    async def _each(
        self,
        queue: Queue,
        ids: Collection[str] | None,
        act: Callable[[AbstractIncomingMessage, Letter], Awaitable[None]],
        *,
        within_s: float = _TIMEOUT_S,
    ) -> None:
        async with self._dead(queue, within_s=within_s) as (channel, source):
            found = await _take(source, LETTERS_MAX)
            kept: list[AbstractIncomingMessage] = []
            try:
                for incoming in found:
                    letter = _letter(incoming, queue)
                    if ids is None or letter.id in ids:
                        await act(incoming, letter)
                    else:
                        kept.append(incoming)
            finally:
                # After a failure the rest goes back with the channel.
                await _give_back(kept, channel, queue)

    @asynccontextmanager
    async def _dead(
        self, queue: Queue, *, within_s: float = _TIMEOUT_S
    ) -> AsyncGenerator[tuple[AbstractChannel, AbstractQueue]]:
        try:
            async with asyncio.timeout(within_s):
                channel = await self._open_channel()
                try:
                    yield channel, await channel.get_queue(queue.dead, ensure=False)
                finally:
                    await channel.close()
        except TimeoutError:
            raise Unavailable("The queue of dead letters does not answer") from None
        except (AMQPError, ConnectionError, RuntimeError) as error:
            raise Unavailable("The queue of dead letters cannot be read") from error


async def _take(source: AbstractQueue, limit: int) -> list[AbstractIncomingMessage]:
    found: list[AbstractIncomingMessage] = []
    while len(found) < limit:
        incoming = await source.get(no_ack=False, fail=False)
        if incoming is None:
            break
        found.append(incoming)
    return found


async def _give_back(messages: list[AbstractIncomingMessage], channel: AbstractChannel, queue: Queue) -> None:
    for incoming in messages:
        await incoming.reject(requeue=True)
    # A quorum queue has them back a moment later; whoever looks or counts next should find them all.
    with suppress(TimeoutError):
        async with asyncio.timeout(_BACK_WITHIN_S):
            while await _count(channel, queue) < len(messages):  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(_LOOK_EVERY_S)


async def _count(channel: AbstractChannel, queue: Queue) -> int:
    declared = await channel.declare_queue(queue.dead, passive=True)
    return declared.declaration_result.message_count or 0


def _letter(incoming: AbstractIncomingMessage, queue: Queue) -> Letter:
    death = _first_death(incoming)
    reason = incoming.headers.get(DEAD_REASON_HEADER) or death.get("reason") or "unknown"
    return Letter(
        id=incoming.message_id or f"body:{hashlib.sha256(incoming.body).hexdigest()[:32]}",
        queue=queue.name,
        type=incoming.type or "",
        reason=str(reason),
        attempts=attempt_of(incoming),
        at=_aware(death.get("time") or incoming.timestamp),
        body=incoming.body,
    )


def _first_death(incoming: AbstractIncomingMessage) -> dict[str, Any]:
    """Return what the broker says of a letter that it set aside itself."""
    deaths = cast(list[dict[str, Any]], incoming.headers.get("x-death") or [])
    return deaths[0] if deaths else {}


def _aware(at: Any) -> datetime | None:
    if not isinstance(at, datetime):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
