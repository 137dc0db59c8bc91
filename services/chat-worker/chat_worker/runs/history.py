"""Reading what the gateway stored: the message to answer, and the turns before it.

A message follows another one. What was asked again is a branch of its own: the turns before a message are
those on the way back from it, so what it replaced, and all that came after that, is left out.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from chat_worker.runs.conversation import Turn
from common.events.runs import RunRequestedV1
from common.mongo.client import Database, Document

_TURNS_MAX = 50
_MESSAGE_FIELDS = {"text": 1, "run_id": 1, "follows": 1, "cancel_requested_at": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The message to answer. `history` is newest first, and only of the message's own branch."""

    text: str
    cancel_requested: bool
    history: list[Turn]


class HistoryRepository:
    """Reads `messages` and `runs` of one user's thread."""

    def __init__(self, db: Database) -> None:
        self._messages = db["messages"]
        self._runs = db["runs"]

    async def question(self, request: RunRequestedV1) -> Question | None:
        """Return the message with what went before it, or None if it is not there."""
        messages, answers = await asyncio.gather(
            self._recent_messages(request), self._recent_answers(request)
        )
        asked = next((message for message in messages if message["_id"] == request.message_id), None)
        if asked is None:
            return None
        return Question(
            text=asked["text"],
            cancel_requested=asked.get("cancel_requested_at") is not None,
            history=await self._turns_before(asked, request, {m["_id"]: m for m in messages}, answers),
        )

    async def _turns_before(
        self,
        asked: Document,
        request: RunRequestedV1,
        recent: Mapping[str, Document],
        answers: Mapping[str, str],
    ) -> list[Turn]:
        turns: list[Turn] = []
        follows = asked.get("follows")
        while follows is not None and len(turns) < _TURNS_MAX:
            # Seldom a read of its own: only where many versions were asked in between.
            message = recent.get(follows) or await self._message(follows, request)
            if message is None:
                break
            run_id = message.get("run_id", "")
            answer = answers.get(run_id)
            if answer is None:
                answer = await self._answer(run_id, request)
            turns.append(Turn(_text_of(message), answer))
            follows = message.get("follows")
        return turns

    async def _message(self, message_id: str, request: RunRequestedV1) -> Document | None:
        owned = {"_id": message_id, "thread_id": request.thread_id, "user_id": request.user_id}
        return await self._messages.find_one(owned, _MESSAGE_FIELDS)

    async def _answer(self, run_id: str, request: RunRequestedV1) -> str:
        owned = {"_id": run_id, "thread_id": request.thread_id, "user_id": request.user_id}
        run = await self._runs.find_one(owned, {"text": 1})
        return _text_of(run or {})

    async def _recent_messages(self, request: RunRequestedV1) -> list[Document]:
        owned = {"thread_id": request.thread_id, "user_id": request.user_id}
        return (
            await self._messages.find(owned, _MESSAGE_FIELDS)
            .sort("created_at", -1)
            .limit(_TURNS_MAX + 1)
            .to_list(None)
        )

    async def _recent_answers(self, request: RunRequestedV1) -> dict[str, str]:
        owned = {"thread_id": request.thread_id, "user_id": request.user_id}
        found = self._runs.find(owned, {"text": 1}).sort("created_at", -1).limit(_TURNS_MAX + 1)
        return {run["_id"]: _text_of(run) async for run in found}


def _text_of(stored: Document) -> str:
    """Return what was asked or answered then; a record that is damaged must not stop what is asked now."""
    text = stored.get("text")
    return text if isinstance(text, str) else ""
