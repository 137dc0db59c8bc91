"""Reads `runs`, which the worker writes: those of a hold, and those that have ended and are not settled."""

from datetime import datetime

from common.mongo.client import Database, Document
from common.usage_rollup import TRANSACTIONS
from usage_ledger.domain.recovery import RunRecord
from usage_ledger.domain.transaction import usage_id
from usage_ledger.store.documents import RUN_FIELDS, run_of

RUNS = "runs"


class RunRecords:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def unsettled(self, start: datetime, end: datetime) -> list[str]:
        """Name those that ended in a time, and have no row or one that is an estimate of the ledger's own.

        A record without its usage is no end to settle by: it would be booked as nothing, and its event,
        should it come after all, would count as a repeat. Its hold waits until it expires.
        """
        # Asked for by time and by id alone, which are indexed; what else matters is looked at here.
        found = self._db[RUNS].find({"finished_at": {"$gte": start, "$lt": end}}, {"state": 1, "usage": 1})
        run_ids = [run["_id"] async for run in found if _is_whole(run)]
        rows = self._db[TRANSACTIONS].find(
            {"_id": {"$in": [usage_id(run_id) for run_id in run_ids]}}, {"provisional": 1}
        )
        settled = {row["_id"] async for row in rows if not row.get("provisional")}
        return [run_id for run_id in run_ids if usage_id(run_id) not in settled]

    async def named(self, run_ids: list[str]) -> dict[str, RunRecord]:
        """Return the runs that a worker has claimed."""
        found = self._db[RUNS].find({"_id": {"$in": run_ids}}, dict.fromkeys(RUN_FIELDS, 1))
        return {document["_id"]: run_of(document) async for document in found}


def _is_whole(run: Document) -> bool:
    return run.get("state") != "active" and run.get("usage") is not None
