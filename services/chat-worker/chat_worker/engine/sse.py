"""Server-sent events from bytes, as the HTML standard has them, and cheap per event.

Written for a provider's stream: only `event` and `data` matter, and an event that is not closed by a
blank line when the bytes end is no event.
"""

import re
from typing import cast

EVENT_BYTES_MAX = 16 * 1024 * 1024

SseEvent = tuple[bytes, bytes]
"""Name (empty if there is none) and data."""

# What providers send nearly always, found in one step; anything else goes the long way.
_USUAL_EVENT = re.compile(rb"event: ([^\n]*)\ndata: ([^\n]*)\n\n")


class EventTooLarge(ValueError):
    """The peer sends something without end that is no event."""


class SseDecoder:
    """Feed it what the network gives, in any cut; the events that come out are the same."""

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._rest = b""
        self._skips_lf = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that are complete now. Raises EventTooLarge."""
        text = self._rest + self._with_plain_line_ends(chunk)
        events: list[SseEvent] = []
        start = 0
        while start < len(text):
            if usual := _USUAL_EVENT.match(text, start):
                events.append(cast(SseEvent, usual.groups()))
                start = usual.end()
                continue
            end = text.find(b"\n\n", start)
            if end < 0:
                break
            if event := _parse(text[start:end]):
                events.append(event)
            start = end + 2
        self._rest = text[start:]
        if len(self._rest) > self._event_bytes_max:
            raise EventTooLarge
        return events

    def _with_plain_line_ends(self, chunk: bytes) -> bytes:
        """Turn CR LF and lone CR into LF; a CR at the end of one chunk may have its LF in the next."""
        if self._skips_lf and chunk:
            self._skips_lf = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._skips_lf = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk


def _parse(block: bytes) -> SseEvent | None:
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return (name, b"\n".join(data)) if data else None
