"""The events of one run on their way to the stream. Pure: it gathers and numbers, it does not write."""

from collections import deque
from collections.abc import Mapping

from common.run_stream import RunEvent, event_of


class RunOutput:
    """The events of one run under one fence. `text` is all that was ever said, stored or not.

    Of a text that an earlier attempt left behind, the first `shown` characters are in the stream already;
    the rest goes out with the next event.
    """

    def __init__(self, run_id: str, *, fence: int, text: str = "", shown: int = 0, sequence: int = 0) -> None:
        self.run_id = run_id
        self.fence = fence
        self.text = text
        self.sequence = sequence
        self._shown = shown
        self._waiting: deque[RunEvent] = deque()
        self._first = True

    def take(self) -> list[RunEvent]:
        """Return what is to be written, in order; it stays until `written` says so."""
        self.gather()
        return list(self._waiting)

    def written(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()

    def add(self, kind: str, data: Mapping[str, object]) -> None:
        self.gather()
        self._append(kind, data)

    def is_urgent(self) -> bool:
        """Tell, once, that the first text of this attempt has come."""
        first, self._first = self._first, False
        return first

    def gather(self) -> None:
        """Make an event of the text that has come since the last one; `sequence` is exact after this."""
        if len(self.text) > self._shown:
            # `at` places the text in the answer: a reader that lost its place can find it again.
            self._append("delta", {"text": self.text[self._shown :], "at": self._shown})
            self._shown = len(self.text)

    def _append(self, kind: str, data: Mapping[str, object]) -> None:
        self.sequence += 1
        self._waiting.append(event_of(self.fence, self.sequence, kind, data))
