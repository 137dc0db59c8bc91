"""Keeps a consumer from failing message after message while what its handler needs is away.

Every failure costs a message one of its attempts, and after the last one it is a dead letter. So when most
of the last messages failed, the rest wait where they are, unacknowledged and untouched, and one at a time
is let through as a probe, after a pause that grows. The first that succeeds lets all go on.

A queue goes on delivering until the prefetch is full and then stops. The consumer stays its queue's
consumer: a stand-by would find the same dependency away.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from common.amqp.delivery import Done, Outcome, RetryLater
from common.log import get_logger
from common.metrics import CONSUMERS_BRAKED

log = get_logger()

_LAST = 20
_FAILED_MIN = 16
_PAUSE_S = 1.0
_PAUSE_MAX_S = 30.0


class Brake:
    """Whether a queue's messages may be handled now. What is set aside at once counts as handled."""

    def __init__(self, queue: str, *, pause_s: float = _PAUSE_S) -> None:
        self._queue = queue
        self._first_pause_s = pause_s
        self._pause_s = pause_s
        self._failures: deque[bool] = deque(maxlen=_LAST)
        self._probe = asyncio.Lock()
        self._waiting: set[asyncio.Task[object]] = set()
        self.is_on = False
        CONSUMERS_BRAKED.labels(queue=queue).set(0)

    @asynccontextmanager
    async def admitted(self) -> AsyncGenerator[None]:
        """Enter when messages may be handled: at once, or as the probe."""
        is_probe = await self._admit()
        try:
            yield
        finally:
            if is_probe:
                self._probe.release()

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Tell what became of messages that were admitted, before leaving."""
        if not self.is_on:
            self._failures.extend(isinstance(outcome, RetryLater) for outcome in outcomes)
            if len(self._failures) == _LAST and sum(self._failures) >= _FAILED_MIN:
                self._set(on=True)
        elif any(isinstance(outcome, Done) for outcome in outcomes):
            self._failures.clear()
            self._pause_s = self._first_pause_s
            self._set(on=False)

    def let_go(self) -> None:
        """Cancel whoever waits, so that the broker gets their messages back."""
        for task in self._waiting:
            task.cancel()

    async def _admit(self) -> bool:
        if not self.is_on:
            return False
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            await self._probe.acquire()
            try:
                if self.is_on:
                    await asyncio.sleep(self._pause_s)
                    self._pause_s = min(2 * self._pause_s, _PAUSE_MAX_S)
                    return True
            except asyncio.CancelledError:
                self._probe.release()
                raise
            self._probe.release()
            return False
        finally:
            self._waiting.discard(task)

    def _set(self, *, on: bool) -> None:
        self.is_on = on
        CONSUMERS_BRAKED.labels(queue=self._queue).set(int(on))
        if on:
            log.warning("consumer_braked", queue=self._queue, failed=sum(self._failures), of=_LAST)
        else:
            log.info("consumer_released", queue=self._queue)
