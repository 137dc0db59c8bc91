"""The Redis stream of a run: what the worker writes and every gateway reads.

Stream `run:{<run id>}`; each entry's id is `<fence>-<sequence>`. Redis refuses an id that is not
above the last, so a worker that lost its lease (a lower fence) cannot append any more, and a repeat
of the same append is refused instead of doubled. The same bytes go out on the channel of the same
name, so that one connection per gateway process follows any number of runs; the stream is the truth,
the channel only saves the polling. The stream lives `TTL_S` after its last entry and may vanish at
any time: the stored run answers then.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

TTL_S = 900


def stream_key(run_id: str) -> str:
    """Name both the stream and the channel. The braces keep a run on one node of a cluster."""
    return f"run:{{{run_id}}}"


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a run as the browser will see it.

    `sequence` counts from 1 within the run, over all attempts. `kind` is the event's name in the
    HTTP contract: run, delta, annotation, file, usage, done, error. `data` is its JSON, one line.

    A `delta` is `{text, at}`: `at` is where the text begins in the answer, in Unicode code points.
    Whoever keeps the answer up to `at` and puts the text behind it is right after any repeat.
    """

    fence: int
    sequence: int
    kind: str
    data: bytes

    @property
    def entry_id(self) -> str:
        return f"{self.fence}-{self.sequence}"

    @property
    def is_last(self) -> bool:
        return self.kind == "done"

    def fields(self) -> dict[str, str | bytes]:
        return {"k": self.kind, "d": self.data}

    def message(self) -> bytes:
        """Write for the channel: entry id, kind and data, one a line."""
        return b"%s\n%s\n%s" % (self.entry_id.encode(), self.kind.encode(), self.data)


def event_of(fence: int, sequence: int, kind: str, data: Mapping[str, object]) -> RunEvent:
    """Make an event; its data becomes one line of JSON, so no text can forge a field of the stream."""
    return RunEvent(fence=fence, sequence=sequence, kind=kind, data=orjson.dumps(data))


def from_message(message: bytes) -> RunEvent:
    entry_id, kind, data = message.split(b"\n", 2)
    return _event(entry_id, kind, data)


def from_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> RunEvent:
    return _event(entry_id, fields[b"k"], fields[b"d"])


def _event(entry_id: bytes, kind: bytes, data: bytes) -> RunEvent:
    fence, sequence = entry_id.split(b"-")
    return RunEvent(fence=int(fence), sequence=int(sequence), kind=kind.decode(), data=data)
