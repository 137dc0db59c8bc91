"""The only writer of `threads` and `messages`. Every filter carries the owner.

A deleted thread keeps its rows and is never found again. Nothing here waits on a lock: a thread is taken
for a run by comparing and setting `last_run_id`, so a crash leaves nothing to clear.
"""

from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from common.errors import Unavailable
from common.ids import derived_id
from common.mongo.client import Database
from gateway.threads.records import (
    Flag,
    Thread,
    UserMessage,
    flag_row,
    message_of,
    message_row,
    thread_of,
    title_of,
)

_INSERT_ATTEMPTS = 3
"""The message that was in the way may be withdrawn before it can be read."""


class ThreadRepository:
    """Threads and sent messages in MongoDB."""

    def __init__(self, db: Database) -> None:
        self._threads = db["threads"]
        self._messages = db["messages"]
        self._runs = db["runs"]

    async def insert_thread(self, thread_id: str, *, user_id: str, title: str, now: datetime) -> Thread:
        """Make a thread. The same id again returns the thread that is stored."""
        row: dict[str, Any] = {
            "_id": thread_id,
            "user_id": user_id,
            "title": title,
            "created_at": now,
            "updated_at": now,
            "last_run_id": None,
            "deleted_at": None,
        }
        try:
            await self._threads.insert_one(row)
        except DuplicateKeyError:
            row = await self._threads.find_one({"_id": thread_id, "user_id": user_id}) or row
        return thread_of(row)

    async def find_thread(self, user_id: str, thread_id: str) -> Thread | None:
        row = await self._threads.find_one({"_id": thread_id, "user_id": user_id, "deleted_at": None})
        return None if row is None else thread_of(row)

    async def ensure_latest_thread(self, user_id: str, *, now: datetime) -> Thread:
        """Return the thread used last, or make one. Two tabs at once get the same one.

        The new id follows from how many threads the user has deleted, so that both make the same, also
        when one of them is done before the other counts.
        """
        row = await self._threads.find_one(
            {"user_id": user_id, "deleted_at": None}, sort=[("updated_at", -1), ("_id", -1)]
        )
        if row is not None:
            return thread_of(row)
        deleted = await self._threads.count_documents({"user_id": user_id, "deleted_at": {"$ne": None}})
        return await self.insert_thread(
            derived_id("t", user_id, str(deleted)), user_id=user_id, title="", now=now
        )

    async def rename_thread(self, user_id: str, thread_id: str, title: str) -> bool:
        done = await self._threads.update_one(
            {"_id": thread_id, "user_id": user_id, "deleted_at": None}, {"$set": {"title": title}}
        )
        return done.matched_count == 1

    async def delete_thread(self, user_id: str, thread_id: str, *, now: datetime) -> Thread | None:
        """Hide the thread everywhere; return it as it stays: no run can take it any more. None: not there.

        Its usage stays with the ledger, its rows stay here.
        """
        owned = {"_id": thread_id, "user_id": user_id}
        done = await self._threads.update_one({**owned, "deleted_at": None}, {"$set": {"deleted_at": now}})
        row = await self._threads.find_one(owned) if done.matched_count else None
        return None if row is None else thread_of(row)

    async def active_run(self, thread: Thread, *, now: datetime) -> str | None:
        """Return the run that keeps the thread busy, if there is one.

        A run that no worker has claimed yet counts until its message's `claim_until`; a run without
        a message was withdrawn. So a message is inserted before the thread is taken for its run.
        """
        if thread.last_run_id is None:
            return None
        run = await self._runs.find_one({"_id": thread.last_run_id, "user_id": thread.user_id}, {"state": 1})
        is_active = (
            run["state"] == "active"
            if run is not None
            else await self.awaits_claim(thread.last_run_id, thread.user_id, now=now)
        )
        return thread.last_run_id if is_active else None

    async def awaits_claim(self, run_id: str, user_id: str, *, now: datetime) -> bool:
        """Tell whether a worker may still claim a run that is not stored."""
        message = await self._messages.find_one({"run_id": run_id, "user_id": user_id}, {"claim_until": 1})
        return message is not None and message["claim_until"] > now

    async def awaits_request(self, run_id: str, user_id: str, *, now: datetime) -> bool:
        """Tell whether a run that is not stored is to be asked for yet, as far as anybody knows."""
        message = await self._messages.find_one(
            {"run_id": run_id, "user_id": user_id, "asked_at": {"$ne": None}}, {"claim_until": 1}
        )
        return message is not None and message["claim_until"] > now

    async def mark_asked_again(self, run_id: str, user_id: str, *, now: datetime, before: datetime) -> bool:
        """Note that the run is asked for once more.

        False: it was after `before`, or for good, or the message is withdrawn.
        """
        done = await self._messages.update_one(
            {"run_id": run_id, "user_id": user_id, "asked_at": {"$lte": before}},
            {"$set": {"asked_at": now}},
        )
        return done.matched_count == 1

    async def mark_asked_for_good(self, run_id: str, user_id: str) -> None:
        """Note that the queue has the run: nobody need ask for it any more."""
        await self._messages.update_one({"run_id": run_id, "user_id": user_id}, {"$set": {"asked_at": None}})

    async def take_for_run(self, thread: Thread, *, run_id: str, text: str, now: datetime) -> bool:
        """Make `run_id` the thread's last run if `thread` is still as it was read; False: someone was faster.

        The first message of a thread gives it its title.
        """
        changes: dict[str, Any] = {"last_run_id": run_id, "updated_at": now}
        if not thread.title:
            changes["title"] = title_of(text)
        done = await self._threads.update_one(
            {
                "_id": thread.id,
                "user_id": thread.user_id,
                "last_run_id": thread.last_run_id,
                "deleted_at": None,
            },
            {"$set": changes},
        )
        return done.matched_count == 1

    async def insert_message(self, message: UserMessage) -> UserMessage:
        """Store the message. One that the user sent before under its `client_message_id` is returned instead.

        A caller sees by the `run_id` whether it is its own.
        """
        for _ in range(_INSERT_ATTEMPTS):
            try:
                await self._messages.insert_one(message_row(message))
            except DuplicateKeyError:
                if message.client_message_id is None:
                    raise
                stored = await self.find_message_by_client_id(message.user_id, message.client_message_id)
                if stored is not None:
                    return stored
            else:
                return message
        raise Unavailable("The same message is being withdrawn, please try again")

    async def withdraw_message(self, run_id: str, user_id: str) -> None:
        """Remove the message of a run that was never published. The thread is free at once."""
        await self._messages.delete_one({"run_id": run_id, "user_id": user_id})

    async def mark_cancel_requested(self, user_id: str, run_id: str, *, now: datetime) -> bool:
        """Note that the user pressed stop, for a worker that claims the run later. False: no such run."""
        done = await self._messages.update_one(
            {"run_id": run_id, "user_id": user_id}, {"$set": {"cancel_requested_at": now}}
        )
        return done.matched_count == 1

    async def message_of_run(self, user_id: str, run_id: str) -> UserMessage | None:
        """Find what a run answers; None too when its thread was deleted."""
        return await self._visible({"run_id": run_id, "user_id": user_id})

    async def find_message(self, user_id: str, message_id: str) -> UserMessage | None:
        """Find a message of the user's; None too when its thread was deleted."""
        return await self._visible({"_id": message_id, "user_id": user_id})

    async def find_message_by_client_id(self, user_id: str, client_message_id: str) -> UserMessage | None:
        row = await self._messages.find_one({"user_id": user_id, "client_message_id": client_message_id})
        return None if row is None else message_of(row)

    async def list_messages(
        self, thread: Thread, *, before: tuple[datetime, str] | None, limit: int
    ) -> list[UserMessage]:
        """Return up to `limit` messages of the thread, newest first, older than `before` (time, id)."""
        query: dict[str, Any] = {"thread_id": thread.id, "user_id": thread.user_id}
        if before is not None:
            at, message_id = before
            query["created_at"] = {"$lte": at}
            query["$or"] = [{"created_at": {"$lt": at}}, {"_id": {"$lt": message_id}}]
        cursor = self._messages.find(query, sort=[("created_at", -1), ("_id", -1)], limit=limit)
        return [message_of(row) async for row in cursor]

    async def set_flag(self, message: UserMessage, flag: Flag | None) -> bool:
        """Flag the exchange of a message, or take the flag back. False: the message is gone."""
        done = await self._messages.update_one(
            {"_id": message.id, "user_id": message.user_id},
            {"$set": {"flag": None if flag is None else flag_row(flag)}},
        )
        return done.matched_count == 1

    async def _visible(self, query: dict[str, Any]) -> UserMessage | None:
        row = await self._messages.find_one(query)
        if row is None or await self.find_thread(row["user_id"], row["thread_id"]) is None:
            return None
        return message_of(row)
