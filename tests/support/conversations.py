"""Puts conversations into the database as the gateway and the worker write them."""

from datetime import datetime, timedelta
from typing import Any

from motor.motor_asyncio import AsyncIOMotorGridFSBucket

from common.ids import answer_id, new_id
from common.mongo.client import Database
from gateway.threads.records import Thread, UserMessage
from gateway.threads.repository import ThreadRepository


class Conversations:
    """Writes threads, messages, runs and files of any user. A second passes with each."""

    def __init__(self, db: Database, now: datetime) -> None:
        self.db = db
        self.threads = ThreadRepository(db)
        self._now = now

    async def thread(self, user_id: str, *, title: str = "") -> Thread:
        return await self.threads.insert_thread(new_id("t"), user_id=user_id, title=title, now=self._later())

    async def ask(self, thread: Thread, text: str, **fields: Any) -> UserMessage:
        """Send a message and take its thread, as far as the publishing of the run."""
        now = self._later()
        message = UserMessage(
            id=new_id("m"),
            thread_id=thread.id,
            user_id=thread.user_id,
            text=text,
            run_id=new_id("r"),
            client_message_id=fields.pop("client_message_id", None),
            follows=fields.pop("follows", None),
            created_at=now,
            claim_until=fields.pop("claim_until", now + timedelta(minutes=5)),
        )
        await self.threads.insert_message(message)
        fresh = await self.threads.find_thread(thread.user_id, thread.id)
        assert fresh is not None
        assert await self.threads.take_for_run(fresh, run_id=message.run_id, text=text, now=now)
        return message

    async def answer(self, message: UserMessage, text: str = "", **fields: Any) -> str:
        """Store the run that answers a message; return the id of the answer."""
        row: dict[str, Any] = {
            "_id": message.run_id,
            "thread_id": message.thread_id,
            "user_id": message.user_id,
            "message_id": message.id,
            "state": "completed",
            "text": text,
            "last_sequence": 3,
            "usage": {"input_tokens": 7, "cached_tokens": 2, "output_tokens": 5, "reasoning_tokens": 1},
            "usage_source": "provider",
            "context_tokens": 12,
            "error": None,
            "files": [],
            "annotations": [],
            "created_at": message.created_at + timedelta(milliseconds=200),
            **fields,
        }
        await self.db["runs"].insert_one(row)
        return answer_id(message.run_id)

    async def file(
        self, message: UserMessage, content: bytes, *, name: str = "report.csv", media_type: str = "text/csv"
    ) -> str:
        """Store a file that the run of a message made."""
        bucket = AsyncIOMotorGridFSBucket(self.db, bucket_name="file_bytes")
        file_id = new_id("f")
        await self.db["files"].insert_one(
            {
                "_id": file_id,
                "run_id": message.run_id,
                "thread_id": message.thread_id,
                "user_id": message.user_id,
                "name": name,
                "media_type": media_type,
                "size_bytes": len(content),
                "gridfs_id": await bucket.upload_from_stream(name, content),
                "created_at": message.created_at,
            }
        )
        return file_id

    def _later(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now
