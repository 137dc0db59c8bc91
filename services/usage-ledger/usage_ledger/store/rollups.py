"""Folds what settlements add into the rollups, see `common.usage_rollup`."""

from pymongo import ReplaceOne

from common.mongo.client import Database, Document, Session
from common.usage_rollup import INCREMENTS, ROLLUPS
from usage_ledger.domain.rollup import merged
from usage_ledger.store.conflicts import Outdated, translated
from usage_ledger.store.writer import Writer

_FOLD_MAX = 200


class Rollups:
    """The rollups, which only this class writes."""

    def __init__(self, db: Database, writer: Writer) -> None:
        self._db = db
        self._writer = writer

    async def fold(self) -> int:
        """Fold until nothing is left; return how many increments that were. Raises Unavailable.

        Many processes may fold: an increment is deleted in the transaction that adds it, so of two that
        take the same one, one fails and leaves it to the other.
        """
        folded = 0
        try:
            with translated():
                while found := await self._db[INCREMENTS].find().sort("_id", 1).to_list(_FOLD_MAX):
                    await self._fold(found)
                    folded += len(found)
        except Outdated:
            return folded
        return folded

    async def _fold(self, found: list[Document]) -> None:
        parts = merged(part for increment in found for part in increment["parts"])
        async with self._writer.transaction() as session:
            await self._add(parts, session)
            ids = [increment["_id"] for increment in found]
            result = await self._db[INCREMENTS].delete_many({"_id": {"$in": ids}}, session=session)
            if result.deleted_count != len(ids):
                raise Outdated

    async def _add(self, parts: list[Document], session: Session) -> None:
        # Added up here and replaced as a whole: one update of a thousand counters costs far more.
        ids = [part["_id"] for part in parts]
        stored = await self._db[ROLLUPS].find({"_id": {"$in": ids}}, session=session).to_list(None)
        writes = [ReplaceOne({"_id": sums["_id"]}, sums, upsert=True) for sums in merged([*stored, *parts])]
        await self._db[ROLLUPS].bulk_write(writes, session=session)
