"""Finished runs that no worker ever drove, for tests of what happens to their events."""

from chat_worker.runs.records import finished_event
from common.clock import SystemClock
from common.events.runs import RunFinishedV1
from common.ids import new_id
from support.stack import Stack

TOKENS = 7
"""What each of them used."""


async def store_finished_runs(stack: Stack, user_id: str, count: int) -> list[RunFinishedV1]:
    """Store runs as a worker does at their end; return the events that it would publish then."""
    now = SystemClock().now()
    runs = [
        {
            "_id": new_id("r"),
            "thread_id": new_id("t"),
            "user_id": user_id,
            "company": None,
            "assistant": "test@1",
            "model": "sim-1",
            "state": "completed",
            "fence": 1,
            "lease_until": now,
            "usage": {
                "input_tokens": TOKENS - 2,
                "cached_tokens": 0,
                "output_tokens": 2,
                "reasoning_tokens": 0,
                "total_tokens": TOKENS,
            },
            "usage_source": "provider",
            "text": "hi",
            "created_at": now,
            "finished_at": now,
        }
        for _ in range(count)
    ]
    await stack.db["runs"].insert_many(runs)
    return [finished_event(run) for run in runs]


async def booked_tokens(stack: Stack, user_id: str) -> list[int]:
    """Return what each settlement of a user took off the balance."""
    return [-row["tokens"] for row in await stack.usage_rows(user_id=user_id)]
