"""Reading what the gateway stored: the message to answer, and the turns before it."""

import asyncio
from dataclasses import dataclass

from chat_worker.runs.conversation import Turn
from common.events.runs import RunRequestedV1
from common.mongo.client import Database, Document

_TURNS_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The message to answer. `history` is newest first."""

    text: str
    cancel_requested: bool
    history: list[Turn]


class HistoryRepository:
    """Reads `messages` and `runs` of one user's thread."""

    def __init__(self, db: Database) -> None:
        self._messages = db["messages"]
        self._runs = db["runs"]

    async def question(self, request: RunRequestedV1) -> Question | None:
        """Return the message with what went before it, or None if the gateway has withdrawn it for good."""
        messages, answers = await asyncio.gather(
            self._recent_messages(request), self._recent_answers(request)
        )
        asked = next((message for message in messages if message["_id"] == request.message_id), None)
        if asked is None:
            return None
        earlier = [message for message in messages if message["created_at"] < asked["created_at"]]
        return Question(
            text=asked["text"],
            cancel_requested=asked.get("cancel_requested_at") is not None,
            history=[Turn(message["text"], answers.get(message["run_id"], "")) for message in earlier],
        )

    async def _recent_messages(self, request: RunRequestedV1) -> list[Document]:
        owned = {"thread_id": request.thread_id, "user_id": request.user_id}
        fields = {"text": 1, "run_id": 1, "created_at": 1, "cancel_requested_at": 1}
        return (
            await self._messages.find(owned, fields)
            .sort("created_at", -1)
            .limit(_TURNS_MAX + 1)
            .to_list(None)
        )

    async def _recent_answers(self, request: RunRequestedV1) -> dict[str, str]:
        owned = {"thread_id": request.thread_id, "user_id": request.user_id}
        found = self._runs.find(owned, {"text": 1}).sort("created_at", -1).limit(_TURNS_MAX + 1)
        return {run["_id"]: run["text"] async for run in found}
