"""The queues and their dead letters, as operators see and mend them."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from common.amqp.dead_letters import LETTERS_MAX, PER_S, Letter
from common.amqp.topology import DURABLE, RETRY_DELAYS_S, Queue
from common.clock import Clock
from common.errors import NotFound, Unavailable
from common.mongo.client import Document
from gateway.dashboard.management import Age, Management, QueueState
from gateway.dashboard.operator_actions import OperatorActions

LETTERS_SHOWN = 100
_ACTIONS_SHOWN = 20

SET_ASIDE = {queue.name: queue for queue in DURABLE if queue.has_dead_letters}
"""The queues that keep dead letters, by name."""


class LetterBox(Protocol):
    """`common.amqp.dead_letters.DeadLetters` is one."""

    async def depth(self, queue: Queue) -> int: ...

    async def look(self, queue: Queue, *, limit: int) -> list[Letter]: ...

    async def replay(
        self, queue: Queue, ids: Collection[str] | None, *, by: str, done: list[Letter], per_s: float
    ) -> list[Letter]: ...

    async def drop(
        self, queue: Queue, ids: Collection[str] | None, *, done: list[Letter]
    ) -> list[Letter]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """`state` is None while the management API does not answer, or is not configured.

    `retries` are messages that wait for their next attempt, by the seconds that this takes.
    """

    name: str
    state: QueueState | None
    oldest_age: Age | None
    retries: Mapping[int, int] | None
    dead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsView:
    queues: list[QueueView]
    dead_letters: list[Letter]
    actions: list[Document]
    wrong: list[str]
    checked_at: datetime


class Operations:
    """Looks at queues and acts on dead letters. Every action has its line in the audit."""

    def __init__(
        self, letters: LetterBox, management: Management | None, actions: OperatorActions, clock: Clock
    ) -> None:
        self._letters = letters
        self._management = management
        self._actions = actions
        self._clock = clock

    async def view(self) -> OperationsView:
        """Show all queues. What cannot be asked is named in `wrong`, and the rest is shown all the same."""
        wrong: list[str] = []
        states = await self._states(wrong)
        letters = await asyncio.gather(*(self._look(queue, wrong) for queue in SET_ASIDE.values()))
        found = dict(zip(SET_ASIDE, letters, strict=True))
        return OperationsView(
            queues=[await self._queue(queue, states, found.get(queue.name, ([], 0))[1]) for queue in DURABLE],
            dead_letters=[letter for shown, _ in found.values() for letter in shown],
            actions=await self._actions.latest(_ACTIONS_SHOWN),
            wrong=list(dict.fromkeys(wrong)),
            checked_at=self._clock.now(),
        )

    async def replay(
        self,
        queue_name: str,
        ids: Collection[str] | None,
        *,
        actor: str,
        dry_run: bool = False,
        per_s: float = PER_S,
    ) -> tuple[list[Letter], int]:
        """Send letters to their queue again, or all; return them, and how many are left.

        With `dry_run`, only say which ones it would be. Raises NotFound, Unavailable.
        """
        queue = queue_of(queue_name)
        async with self._actions.record(
            "dead_letters.replay", actor=actor, dry_run=dry_run, queue=queue.name, ids=_asked(ids)
        ) as action:
            if dry_run:
                action.letters += await self._chosen(queue, ids)
            else:
                await self._letters.replay(queue, ids, by=actor, done=action.letters, per_s=per_s)
        return action.letters, await self._letters.depth(queue)

    async def drop(
        self,
        queue_name: str,
        ids: Collection[str] | None,
        *,
        actor: str,
        reason: str,
        dry_run: bool = False,
    ) -> tuple[list[Letter], int]:
        """Throw letters away, or all; return them, and how many are left. Raises NotFound, Unavailable."""
        queue = queue_of(queue_name)
        async with self._actions.record(
            "dead_letters.drop",
            actor=actor,
            dry_run=dry_run,
            reason=reason,
            queue=queue.name,
            ids=_asked(ids),
        ) as action:
            if dry_run:
                action.letters += await self._chosen(queue, ids)
            else:
                await self._letters.drop(queue, ids, done=action.letters)
        return action.letters, await self._letters.depth(queue)

    async def _chosen(self, queue: Queue, ids: Collection[str] | None) -> list[Letter]:
        looked = await self._letters.look(queue, limit=LETTERS_MAX)
        return [letter for letter in looked if ids is None or letter.id in ids]

    async def _states(self, wrong: list[str]) -> dict[str, QueueState]:
        if self._management is None:
            wrong.append("AMQP_MANAGEMENT_URL is not set: only dead letters are known")
            return {}
        try:
            return await self._management.queues()
        except Unavailable as error:
            wrong.append(error.detail)
            return {}

    async def _look(self, queue: Queue, wrong: list[str]) -> tuple[list[Letter], int]:
        try:
            depth = await self._letters.depth(queue)
            return (await self._letters.look(queue, limit=LETTERS_SHOWN) if depth else []), depth
        except Unavailable as error:
            wrong.append(error.detail)
            return [], 0

    async def _queue(self, queue: Queue, states: Mapping[str, QueueState], dead: int) -> QueueView:
        state = states.get(queue.name)
        delays = RETRY_DELAYS_S if queue.has_dead_letters else ()
        tiers = {delay_s: states.get(queue.retry(delay_s)) for delay_s in delays}
        return QueueView(
            name=queue.name,
            state=state,
            oldest_age=await self._oldest_age(queue, state),
            retries={delay_s: tier.ready for delay_s, tier in tiers.items() if tier} if states else None,
            dead=dead,
        )

    async def _oldest_age(self, queue: Queue, state: QueueState | None) -> Age | None:
        if self._management is None or state is None or not state.ready + state.unacked:
            return None
        try:
            return await self._management.oldest_age(queue.name)
        except Unavailable:
            return None


def _asked(ids: Collection[str] | None) -> list[str] | None:
    return None if ids is None else sorted(ids)


def queue_of(name: str) -> Queue:
    """Find a queue that keeps dead letters. Raises NotFound."""
    queue = SET_ASIDE.get(name)
    if queue is None:
        raise NotFound(f"Dead letters are kept for {', '.join(SET_ASIDE)}")
    return queue
