"""Keeps a consumer from failing message after message while what its handler needs is away.

When most of the last messages failed, the rest wait where they are, unacknowledged and untouched, and one
after the other is let through, after a pause that grows. The first that succeeds lets all go on.

A queue goes on delivering until the prefetch is full and then stops. The consumer stays its queue's
consumer: a stand-by would find the same dependency away.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

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
        self._turn = asyncio.Lock()
        self._waiting: set[asyncio.Task[object]] = set()
        self.is_on = False
        CONSUMERS_BRAKED.labels(queue=queue).set(0)

    async def admit(self) -> None:
        """Return when a message may be handled: at once, or in its turn.

        A turn does not wait for the end of the one before, which may be an answer of minutes.
        """
        if not self.is_on:
            return
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            async with self._turn:
                if self.is_on:
                    await asyncio.sleep(self._pause_s)
                    self._pause_s = min(2 * self._pause_s, _PAUSE_MAX_S)
        finally:
            self._waiting.discard(task)

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Tell what became of messages that were admitted."""
        if not self.is_on:
            self._failures.extend(_has_failed(outcome) for outcome in outcomes if not _is_busy(outcome))
            if len(self._failures) == _LAST and sum(self._failures) >= _FAILED_MIN:
                self._set(on=True)
        elif any(isinstance(outcome, Done) for outcome in outcomes):
            self._failures.clear()
            self._pause_s = self._first_pause_s
            self._set(on=False)

    def keeps(self, outcome: Outcome) -> bool:
        """Tell whether a message that failed is to be tried again by us, so that it keeps its attempts.

        A bug may be the message's own: it spends its attempts, or the queue would never be empty.
        """
        return self.is_on and isinstance(outcome, RetryLater) and outcome.cause != "bug"

    def let_go(self) -> None:
        """Cancel whoever waits, so that the broker gets their messages back."""
        for task in self._waiting:
            task.cancel()

    def _set(self, *, on: bool) -> None:
        self.is_on = on
        CONSUMERS_BRAKED.labels(queue=self._queue).set(int(on))
        if on:
            log.warning("consumer_braked", queue=self._queue, failed=sum(self._failures), of=_LAST)
        else:
            log.info("consumer_released", queue=self._queue)


def _is_busy(outcome: Outcome) -> bool:
    return isinstance(outcome, RetryLater) and outcome.cause == "busy"


def _has_failed(outcome: Outcome) -> bool:
    return isinstance(outcome, RetryLater)
