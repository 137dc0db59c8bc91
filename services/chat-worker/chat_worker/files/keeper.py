"""Copies the files of a run into GridFS when it ends, so that only their owner can ever fetch them."""

import asyncio
import mimetypes
from pathlib import PurePosixPath
from typing import Any

from pymongo.errors import DuplicateKeyError, PyMongoError

from chat_worker.engine.interface import Engine, FileCited, ModelError
from common.clock import Clock
from common.events.runs import RunRequestedV1
from common.ids import derived_id
from common.log import get_logger
from common.mongo.client import Database, Document
from common.mongo.file_bytes import file_bytes
from common.mongo.indexes import IndexSpec

log = get_logger()

INDEXES = (
    IndexSpec(collection="files", keys=(("user_id", 1), ("run_id", 1)), why="the files of a user's run"),
)

_FILES_MAX = 20
_KEEP_S = 120.0


class FileKeeper:
    """Sole writer of `files` and of the bucket `file_bytes`."""

    def __init__(
        self, db: Database, engine: Engine, clock: Clock, *, bytes_max: int, keep_s: float = _KEEP_S
    ) -> None:
        self._files = db["files"]
        self._bucket = file_bytes(db)
        self._engine = engine
        self._clock = clock
        self._bytes_max = bytes_max
        self._keep_s = keep_s

    async def keep(self, request: RunRequestedV1, cited: list[FileCited]) -> list[dict[str, Any]]:
        """Copy what can be copied in time; return `{id, name, media_type, size_bytes}` of each.

        A file that the provider does not give, or the database does not take, is left out and logged: the
        answer and its usage stand without it, and do not wait for it.
        """
        kept: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(self._keep_s):
                for file in cited[:_FILES_MAX]:
                    if document := await self._try_to_keep(request, file):
                        names = ("name", "media_type", "size_bytes")
                        kept.append({"id": document["_id"], **{name: document[name] for name in names}})
        except TimeoutError:
            log.warning("files_not_kept_in_time", run_id=request.run_id, kept=len(kept), cited=len(cited))
        return kept

    async def _try_to_keep(self, request: RunRequestedV1, file: FileCited) -> Document | None:
        try:
            return await self._keep_one(request, file)
        except (ModelError, PyMongoError) as error:
            log.warning("file_not_kept", run_id=request.run_id, kind=type(error).__name__)
            return None

    async def _keep_one(self, request: RunRequestedV1, file: FileCited) -> Document:
        # The same file of the same run has the same id, so that a second attempt finds the first one's copy.
        file_id = derived_id("f", request.run_id, file.file_id)
        stored = await self._files.find_one({"_id": file_id, "user_id": request.user_id})
        if stored is not None:
            return stored
        content = await self._engine.download(file, bytes_max=self._bytes_max)
        name = PurePosixPath(file.name).name or "file"
        document: Document = {
            "_id": file_id,
            "run_id": request.run_id,
            "thread_id": request.thread_id,
            "user_id": request.user_id,
            "name": name,
            "media_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "size_bytes": len(content),
            "created_at": self._clock.now(),
        }
        gridfs_id = await self._bucket.upload_from_stream(name, content, metadata={"file_id": file_id})
        try:
            await self._files.insert_one(document | {"gridfs_id": gridfs_id})
        except DuplicateKeyError:
            await self._bucket.delete(gridfs_id)
        return document
