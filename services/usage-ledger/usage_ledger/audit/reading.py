"""How the audit reads: in the order of time, a little at a time, in one snapshot where there is one.

MongoDB keeps a snapshot for five minutes. What takes longer goes on in the next one, which is no harm: the
audit is right without any, since rows never change and it reads each thing after what it is compared with.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from pymongo.errors import OperationFailure

from common.mongo.client import Database, Document, Session

_SNAPSHOT_GONE = {239, 246}
_LENGTH_MIN, _LENGTH_MAX = timedelta(milliseconds=1), timedelta(days=8)
_IDS_MAX = 100


class Reading:
    """Reads collections; `batch_max` documents or so are in memory at once."""

    def __init__(self, db: Database, session: Session, *, batch_max: int) -> None:
        self._db = db
        self._session = session
        self._batch_max = batch_max

    async def find(
        self, collection: str, wanted: Document, shown: Mapping[str, Any] | None = None, *, limit: int = 0
    ) -> list[Document]:
        """Return all that match, or the first by id: for what is little. Raises PyMongoError."""
        try:
            return await self._find(collection, wanted, shown, limit)
        except OperationFailure as error:
            if error.code not in _SNAPSHOT_GONE:
                raise
        await self._session.end_session()
        self._session = await self._db.client.start_session(snapshot=True)
        return await self._find(collection, wanted, shown, limit)

    async def by_id(
        self, collection: str, ids: list[str], shown: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Document]:
        for start in range(0, len(ids), _IDS_MAX):
            for document in await self.find(
                collection, {"_id": {"$in": ids[start : start + _IDS_MAX]}}, shown
            ):
                yield document

    async def each(self, collection: str, wanted: Document) -> AsyncIterator[Document]:
        """Yield what matches, however much it is."""
        page = await self.find(collection, wanted, limit=self._batch_max)
        while page:
            for document in page:
                yield document
            if len(page) < self._batch_max:
                return
            beyond = {"_id": {"$gt": page[-1]["_id"]}}
            page = await self.find(collection, {**wanted, **beyond}, limit=self._batch_max)

    async def close(self) -> None:
        await self._session.end_session()

    async def _find(
        self, collection: str, wanted: Document, shown: Mapping[str, Any] | None, limit: int
    ) -> list[Document]:
        found = self._db[collection].find(wanted, shown, session=self._session)
        if limit:
            found = found.sort("_id", 1).limit(limit)
        return await found.batch_size(self._batch_max).to_list(None)


@asynccontextmanager
async def reading(db: Database, *, batch_max: int) -> AsyncGenerator[Reading]:
    session = await db.client.start_session(snapshot=True)
    opened = Reading(db, session, batch_max=batch_max)
    try:
        yield opened
    finally:
        await opened.close()


class Windows:
    """Cuts a time into pieces that hold about `batch_max` documents each, going by the last piece."""

    def __init__(self, start: datetime, end: datetime, *, batch_max: int) -> None:
        self._at = start
        self._end = end
        self._batch_max = batch_max
        self._length = timedelta(hours=1)

    def next(self) -> dict[str, datetime] | None:
        """Return the condition for the next piece; None at the end."""
        if self._at >= self._end:
            return None
        start, self._at = self._at, min(self._end, self._at + self._length)
        return {"$gte": start, "$lt": self._at}

    def found(self, documents: int) -> None:
        """Tell how many the piece held."""
        factor = min(4.0, max(0.25, self._batch_max / max(documents, 1)))
        self._length = min(_LENGTH_MAX, max(_LENGTH_MIN, self._length * factor))
