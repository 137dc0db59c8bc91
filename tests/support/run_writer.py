"""Writes a run as a worker does: to its stream and channel in Redis, and to `runs` in MongoDB."""

from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from common.mongo.client import Database
from common.run_stream import event_of, stream_key

USER = "u1"
THREAD = "t_" + "0" * 32
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def message_row(run_id: str, **fields: Any) -> dict[str, Any]:
    """What the gateway stored when it asked for the run."""
    return {
        "_id": "m" + run_id[1:],
        "thread_id": THREAD,
        "user_id": USER,
        "text": "Why?",
        "run_id": run_id,
        "client_message_id": None,
        "follows": None,
        "created_at": NOW,
        "claim_until": datetime(2100, 1, 1, tzinfo=UTC),
        "cancel_requested_at": None,
        "flag": None,
        **fields,
    }


class RunWriter:
    """One attempt at a run. `text` is the answer so far."""

    def __init__(
        self, redis: Redis, run_id: str, *, fence: int = 1, sequence: int = 0, text: str = ""
    ) -> None:
        self._redis = redis
        self.run_id = run_id
        self.fence = fence
        self.sequence = sequence
        self.text = text

    async def begin(self) -> None:
        await self.append("run", run_id=self.run_id, thread_id=THREAD, message_id="m" + self.run_id[1:])

    async def say(self, text: str) -> None:
        at = len(self.text)
        self.text += text
        await self.append("delta", text=text, at=at)

    async def finish(self, status: str = "completed") -> None:
        await self.append("usage", input_tokens=3, output_tokens=4, total_tokens=7, estimated=False)
        await self.append("done", status=status)

    async def append(self, kind: str, **data: Any) -> None:
        self.sequence += 1
        event = event_of(self.fence, self.sequence, kind, data)
        key = stream_key(self.run_id)
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.xadd(key, event.fields(), id=event.entry_id)  # pyright: ignore[reportArgumentType]
            pipeline.publish(key, event.message())
            await pipeline.execute()

    async def append_unheard(self, kind: str, **data: Any) -> None:
        """Append to the stream only, as if the channel had lost it."""
        self.sequence += 1
        event = event_of(self.fence, self.sequence, kind, data)
        await self._redis.xadd(stream_key(self.run_id), event.fields(), id=event.entry_id)  # pyright: ignore[reportArgumentType]

    def skip(self, text: str) -> None:
        """Write text that never reaches Redis."""
        self.sequence += 1
        self.text += text

    async def store(self, db: Database, *, state: str = "active", last_sequence: int | None = None) -> None:
        """Store the run as it stands; `last_sequence` of a terminal one is the one of its `done`."""
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        run = {
            "thread_id": THREAD,
            "user_id": USER,
            "message_id": "m" + self.run_id[1:],
            "state": state,
            "fence": self.fence,
            "text": self.text,
            "last_sequence": self.sequence if last_sequence is None else last_sequence,
            "usage": None if state == "active" else usage,
            "usage_source": None if state == "active" else "provider",
            "context_tokens": 7,
            "error": None,
            "files": [],
            "annotations": [],
            "created_at": NOW,
        }
        await db["runs"].replace_one({"_id": self.run_id}, run, upsert=True)
