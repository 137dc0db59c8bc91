"""How far one reader has come in a run. Pure.

Events are ordered as Redis orders their entries: by fence, then by sequence. A worker that takes a run
over has a higher fence and goes on counting; if it could not see all that was written before it, some
of its sequences repeat older ones, and its fence says that they are new all the same.
"""

from collections.abc import Sequence

import orjson

from common.run_stream import RunEvent


class Cursor:
    """The place of a reader. It starts behind `after_sequence`, in a text whose length may be unknown.

    `fence` is 0 until the first event: a browser that comes back knows only the sequence.
    """

    def __init__(self, after_sequence: int = 0) -> None:
        self.sequence = after_sequence
        self.fence = 0
        self._text_length: int | None = None if after_sequence else 0
        self._last_delta: RunEvent | None = None
        self._stored_length = 0

    @property
    def text_length(self) -> int | None:
        """Code points of the answer that the reader has; None if that cannot be told."""
        if self._last_delta is None:
            return self._text_length
        delta = orjson.loads(self._last_delta.data)
        return delta["at"] + len(delta["text"])

    @property
    def first_entry_id(self) -> str:
        """Where to read the stream from: the reader's own place included, to see that it is still there."""
        return f"{self.fence or 1}-{self.sequence}"

    def is_behind(self, event: RunEvent) -> bool:
        """Tell whether the event is new to the reader."""
        if self.fence == 0:
            return event.sequence > self.sequence
        return (event.fence, event.sequence) > (self.fence, self.sequence)

    def is_next(self, event: RunEvent) -> bool:
        """Tell whether the event follows without a gap."""
        return event.sequence == self.sequence + 1 and event.fence >= self.fence

    def new_among(self, entries: Sequence[RunEvent]) -> list[RunEvent] | None:
        """Return what is new in entries read from `first_entry_id` on; None if the stream lost the place.

        A stream that holds the reader's own entry, or begins right behind it, has all that follows.
        """
        if not entries:
            return [] if self.sequence == 0 else None
        if entries[0].sequence > self.sequence + 1:
            return None
        return [event for event in entries if self.is_behind(event)]

    def take(self, event: RunEvent) -> RunEvent | None:
        """Move to the event; return what of it the reader lacks."""
        self.sequence, self.fence = event.sequence, event.fence
        if event.kind != "delta":
            return event
        needed = self._without_stored_text(event) if self._stored_length else event
        self._last_delta = needed or self._last_delta
        return needed

    def take_stored_text(self, text: str, *, sequence: int) -> RunEvent | None:
        """Move to what is stored of the answer, up to `sequence`; return the delta that the reader lacks.

        A reader whose place in the text is unknown gets the text from its start, to replace what it has.
        """
        at = self.text_length or 0
        # Whoever stored this may have been fenced off since. The sequence says enough: a worker that
        # takes over begins above what is stored.
        self.sequence, self.fence = max(sequence, self.sequence), 0
        if len(text) <= at:
            return None
        data = orjson.dumps({"text": text[at:], "at": at})
        self._last_delta = RunEvent(fence=0, sequence=self.sequence, kind="delta", data=data)
        self._stored_length = len(text)
        return self._last_delta

    def _without_stored_text(self, event: RunEvent) -> RunEvent | None:
        # What is stored may run ahead of the last numbered event, so the next deltas overlap with it.
        delta = orjson.loads(event.data)
        known = self._stored_length - delta["at"]
        if known <= 0:
            self._stored_length = 0
            return event
        rest = delta["text"][known:]
        if not rest:
            return None
        data = orjson.dumps({"text": rest, "at": self._stored_length})
        return RunEvent(fence=event.fence, sequence=event.sequence, kind="delta", data=data)
