"""Reads files: their metadata in `files`, their bytes in GridFS. The worker writes both."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from gridfs.errors import NoFile

from common.log import get_logger
from common.mongo.client import Database
from common.mongo.file_bytes import file_bytes

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file whose bytes are there; `chunks` reads them once."""

    name: str
    media_type: str
    size_bytes: int
    chunks: AsyncGenerator[bytes]


class StoredFiles:
    """Finds files of one user."""

    def __init__(self, db: Database) -> None:
        self._files = db["files"]
        self._threads = db["threads"]
        self._bucket = file_bytes(db)

    async def find(self, user_id: str, file_id: str) -> StoredFile | None:
        """Return the user's file, unless its thread was deleted."""
        row = await self._files.find_one({"_id": file_id, "user_id": user_id})
        if row is None:
            return None
        visible = {"_id": row["thread_id"], "user_id": user_id, "deleted_at": None}
        if await self._threads.find_one(visible, {"_id": 1}) is None:
            return None
        try:
            stored: Any = await self._bucket.open_download_stream(row["gridfs_id"])
        except NoFile:
            log.warning("file_without_bytes", file_id=file_id)
            return None
        return StoredFile(
            name=row["name"], media_type=row["media_type"], size_bytes=stored.length, chunks=_chunks(stored)
        )


async def _chunks(stored: Any) -> AsyncGenerator[bytes]:
    try:
        while chunk := await stored.readchunk():
            yield chunk
    finally:
        stored.close()
