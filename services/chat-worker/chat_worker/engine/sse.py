"""Server-sent events from bytes, as the HTML standard has them, and cheap per event.

Written for a provider's stream: only `event` and `data` matter, and an event that is not closed by a
blank line when the bytes end is no event.
"""

from typing import NamedTuple

EVENT_BYTES_MAX = 16 * 1024 * 1024


class EventTooLarge(ValueError):
    """The peer sends something without end that is no event."""


class SseEvent(NamedTuple):
    name: bytes
    data: bytes


class SseDecoder:
    """Feed it what the network gives, in any cut; the events that come out are the same."""

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._rest = b""
        self._skips_lf = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that are complete now. Raises EventTooLarge."""
        chunk = self._with_plain_line_ends(chunk)
        # A blank line may be cut in half; everything before the last byte of the rest was looked at.
        seen = max(0, len(self._rest) - 1)
        text = self._rest + chunk
        end = text.find(b"\n\n", seen)
        if end < 0:
            if len(text) > self._event_bytes_max:
                raise EventTooLarge
            self._rest = text
            return []
        events: list[SseEvent] = []
        start = 0
        while end >= 0:
            event = _parse(text[start:end])
            if event is not None:
                events.append(event)
            start = end + 2
            end = text.find(b"\n\n", start)
        self._rest = text[start:]
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
    return SseEvent(name, b"\n".join(data)) if data else None
