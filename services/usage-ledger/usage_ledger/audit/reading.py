"""How the audit reads: in the order of time, a little at a time, in one snapshot where there is one.

MongoDB keeps a snapshot for five minutes. What takes longer goes on in the next one, which is no harm: the
audit is right without any, since rows never change and it reads each thing after what it is compared with.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pymongo.errors import OperationFailure

from common.mongo.client import Database, Document, Session

_SNAPSHOT_GONE = {239, 246}
_LENGTH_MIN, _LENGTH_FIRST, _LENGTH_MAX = timedelta(milliseconds=1), timedelta(minutes=1), timedelta(days=8)
_IDS_MAX = 100

T = TypeVar("T")


class Reading:
    """Reads collections; `batch_max` documents or so are in memory at once."""

    def __init__(self, db: Database, session: Session, *, batch_max: int) -> None:
        self._db = db
        self._session = session
        self._batch_max = batch_max

    async def find(
        self, collection: str, wanted: Document, shown: Mapping[str, Any] | None = None, *, limit: int = 0
    ) -> list[Document]:
        """Return all that match, or so many of them: for what is little. Raises PyMongoError."""
        return await self._find_again(collection, wanted, shown, limit)

    async def _find_again(
        self,
        collection: str,
        wanted: Document,
        shown: Mapping[str, Any] | None,
        limit: int,
        *,
        by_id: bool = False,
    ) -> list[Document]:
        try:
            return await self._find(collection, wanted, shown, limit, by_id=by_id)
        except OperationFailure as error:
            if error.code not in _SNAPSHOT_GONE:
                raise
        await self._session.end_session()
        self._session = await self._db.client.start_session(snapshot=True)
        return await self._find(collection, wanted, shown, limit, by_id=by_id)

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
        page = await self._find_again(collection, wanted, None, self._batch_max, by_id=True)
        while page:
            for document in page:
                yield document
            if len(page) < self._batch_max:
                return
            beyond = {"_id": {"$gt": page[-1]["_id"]}}
            page = await self._find_again(collection, {**wanted, **beyond}, None, self._batch_max, by_id=True)

    async def close(self) -> None:
        await self._session.end_session()

    async def _find(
        self,
        collection: str,
        wanted: Document,
        shown: Mapping[str, Any] | None,
        limit: int,
        *,
        by_id: bool,
    ) -> list[Document]:
        found = self._db[collection].find(wanted, shown, session=self._session)
        if by_id:
            found = found.sort("_id", 1)
        if limit:
            found = found.limit(limit)
        return await found.batch_size(self._batch_max).to_list(None)


@asynccontextmanager
async def reading(db: Database, *, batch_max: int) -> AsyncGenerator[Reading]:
    session = await db.client.start_session(snapshot=True)
    opened = Reading(db, session, batch_max=batch_max)
    try:
        yield opened
    finally:
        await opened.close()


async def ahead(source: AsyncIterator[T]) -> AsyncGenerator[T]:
    """Yield what a source does, and fetch the next while the last one is looked at."""
    coming = asyncio.ensure_future(anext(source, None))
    try:
        while (item := await coming) is not None:
            coming = asyncio.ensure_future(anext(source, None))
            yield item
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


class Windows:
    """Cuts a time into pieces of up to `batch_max` documents each, going by the piece before.

    The first is short, since how much it holds is not known.
    """

    def __init__(self, start: datetime, end: datetime, *, batch_max: int) -> None:
        self._start = self.at = start
        self._end = end
        self._batch_max = batch_max
        self._length = _LENGTH_FIRST

    def next(self) -> dict[str, datetime] | None:
        """Return the condition for the next piece; None at the end. `at` is where it ends."""
        if self.at >= self._end:
            return None
        self._start, self.at = self.at, min(self._end, self.at + self._length)
        return {"$gte": self._start, "$lt": self.at}

    @property
    def limit(self) -> int:
        """How many documents of the piece to read: enough to see that it is too many."""
        return 0 if self._length <= _LENGTH_MIN else self._batch_max + 1

    def took(self, documents: int) -> bool:
        """Tell how many the piece held; False when they are too many at once, and a shorter piece is next."""
        fits = not self.limit or documents <= self._batch_max
        if not fits:
            self.at = self._start
        factor = min(4.0, max(0.25, self._batch_max / 2 / max(documents, 1)))
        self._length = min(_LENGTH_MAX, max(_LENGTH_MIN, self._length * factor))
        return fits
