"""Tells the open pages of a user what the ledger says about the account.

A page misses nothing by missing an event: each has the whole state, and a later one replaces it. So a
listener keeps the last one only, however slow its reader is.
"""

import asyncio
from types import TracebackType
from typing import Self

from common.amqp.delivery import Delivery, Done, Outcome
from common.events.ledger import AccountView, BalanceChangedV1


class Listener:
    """Hears of one account while it is open. Once closed, `next` says so."""

    def __init__(self, listeners: "BalanceListeners", user_id: str) -> None:
        self._listeners = listeners
        self._latest: AccountView | None = None
        self._sequence = -1
        self._changed = asyncio.Event()
        self.user_id = user_id
        self.is_closed = False

    def __enter__(self) -> Self:
        self._listeners.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listeners.remove(self)

    async def next(self, *, within_s: float) -> AccountView | None:
        """Return the newest state that was not returned before; None if none came in time, or at the end."""
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return None
        self._changed.clear()
        latest, self._latest = self._latest, None
        return latest

    def tell(self, account: AccountView) -> None:
        """Keep the state, unless a later one was told before: events may come late, or twice."""
        if account.sequence > self._sequence:
            self._sequence = account.sequence
            self._latest = account
            self._changed.set()

    def close(self) -> None:
        self.is_closed = True
        self._changed.set()


class BalanceListeners:
    """All listeners of the process, by user. Called with every `account.balance_changed`."""

    def __init__(self, *, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._by_user: dict[str, set[Listener]] = {}

    async def __call__(self, delivery: Delivery) -> Outcome:
        event = delivery.message
        assert isinstance(event, BalanceChangedV1)
        for listener in self._by_user.get(event.account.user_id, ()):
            listener.tell(event.account)
        return Done()

    async def run(self) -> None:
        """Close all once the process is to end, so that pages move to another gateway."""
        await self._stopping.wait()
        for listeners in self._by_user.values():
            for listener in listeners:
                listener.close()
        await asyncio.Event().wait()

    def listen(self, user_id: str) -> Listener:
        return Listener(self, user_id)

    def add(self, listener: Listener) -> None:
        self._by_user.setdefault(listener.user_id, set()).add(listener)
        if self._stopping.is_set():
            listener.close()

    def remove(self, listener: Listener) -> None:
        listeners = self._by_user[listener.user_id]
        listeners.discard(listener)
        if not listeners:
            del self._by_user[listener.user_id]
