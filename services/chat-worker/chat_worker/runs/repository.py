"""The collection `runs`: claims with a lease and a fence, and the end, stored once.

The lease says who drives a run now; the fence, which only grows, makes sure of it. A worker that was
frozen past its lease finds that its writes match nothing any more, and stops without a trace.

A claim counts a start of the model in advance (`starts`), for its owner may die without a word. Who hands
the run back stores how many there really were, so a run that never reached the model costs nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from chat_worker.runs.records import ACTIVE, Claim, RunEnd, new_run, request_of
from common.clock import Clock
from common.events.runs import RunRequestedV1
from common.mongo.client import Database, Document
from common.mongo.indexes import IndexSpec

INDEXES = (
    IndexSpec(
        collection="runs",
        keys=(("thread_id", 1),),
        unique=True,
        only={"state": ACTIVE},
        why="one active run per thread, whatever the gateways believe",
    ),
    IndexSpec(
        collection="runs",
        keys=(("state", 1), ("lease_until", 1)),
        only={"state": ACTIVE},
        why="recovery finds runs whose worker died",
    ),
    IndexSpec(
        collection="runs",
        keys=(("thread_id", 1), ("created_at", -1)),
        why="history of a thread, newest first",
    ),
    IndexSpec(
        collection="runs",
        keys=(("finished_at", 1),),
        why="the ledger and its audit look for ended runs without a settlement",
    ),
)

_LOOK_AT_MAX = 10


@dataclass(frozen=True, slots=True)
class HeldElsewhere:
    """The run is driven already, or another run of the thread is still being written."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is terminal; `run` is its document."""

    run: Document


@dataclass(frozen=True, slots=True)
class Damaged:
    """The run cannot be read, so nobody can go on with it; it stays as it is, for a person to mend."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What an unfinished run has so far, kept with each renewal of its lease."""

    fence: int
    text: str
    last_sequence: int


class RunRepository:
    """Claims, renews and ends runs."""

    def __init__(self, db: Database, clock: Clock, *, owner: str, lease_s: float) -> None:
        self._runs = db["runs"]
        self._clock = clock
        self._owner = owner
        self._lease = timedelta(seconds=lease_s)

    async def claim(
        self, request: RunRequestedV1, *, assistant: str, model: str
    ) -> Claim | HeldElsewhere | Ended:
        """Take the run: as the first, or from a worker whose lease has run out."""
        now = self._clock.now()
        run = new_run(
            request,
            owner=self._owner,
            assistant=assistant,
            model=model,
            now=now,
            lease_until=now + self._lease,
        )
        try:
            await self._runs.insert_one(run)
        except DuplicateKeyError:
            stored = await self._runs.find_one({"_id": request.run_id})
            if stored is None:
                return HeldElsewhere()
            return await self._take_over(stored, now)
        return Claim(request=request, fence=1, started_at=now)

    async def take_over_expired(self, *, besides: Collection[str] = ()) -> Claim | Damaged | None:
        """Take one run whose worker has been silent for two leases; its message may be lost.

        `besides` are the ids of runs to leave alone.
        """
        now = self._clock.now()
        dead = {
            "_id": {"$nin": list(besides)},
            "state": ACTIVE,
            "lease_until": {"$lt": now - self._lease},
        }
        # More than one, for other workers look for the same.
        async for run in self._runs.find(dead).limit(_LOOK_AT_MAX):
            try:
                claim = await self._take_over(run, now)
            except (KeyError, TypeError, ValueError):
                return Damaged(run["_id"])
            if isinstance(claim, Claim):
                return claim
        return None

    async def _take_over(self, run: Document, now: datetime) -> Claim | HeldElsewhere | Ended:
        if run["state"] != ACTIVE:
            return Ended(run)
        if run["lease_until"] >= now:
            return HeldElsewhere()
        # Read before it is taken: one that is damaged must not get a lease that nobody uses.
        claim = Claim(
            request=request_of(run),
            fence=run["fence"] + 1,
            started_at=run["started_at"],
            starts=run["starts"],
            text=run["text"],
            last_sequence=run["last_sequence"],
            response_id=run["response_id"],
            background=run["background"],
        )
        taken = await self._runs.update_one(
            {"_id": run["_id"], "fence": run["fence"], "state": ACTIVE, "lease_until": run["lease_until"]},
            {
                "$set": {"fence": claim.fence, "owner": self._owner, "lease_until": now + self._lease},
                "$inc": {"starts": 1},
            },
        )
        return claim if taken.matched_count else HeldElsewhere()

    async def renew(self, progress: Mapping[str, Progress]) -> list[str]:
        """Renew the leases of all runs of this process in one write; return the runs that are lost."""
        if not progress:
            return []
        lease_until = self._clock.now() + self._lease
        result = await self._runs.bulk_write(
            [
                UpdateOne(
                    {"_id": run_id, "fence": item.fence, "state": ACTIVE},
                    {
                        "$set": {
                            "lease_until": lease_until,
                            "text": item.text,
                            "last_sequence": item.last_sequence,
                        }
                    },
                )
                for run_id, item in progress.items()
            ],
            ordered=False,
        )
        if result.matched_count == len(progress):
            return []
        stored = self._runs.find({"_id": {"$in": list(progress)}, "state": ACTIVE}, {"fence": 1})
        ours = {run["_id"] async for run in stored if progress[run["_id"]].fence == run["fence"]}
        return [run_id for run_id in progress if run_id not in ours]

    async def remember_response(self, claim: Claim, response_id: str, *, background: bool) -> bool:
        """Store where the provider keeps the answer, before any of it is shown. False: the run is lost."""
        return await self._set(claim, {"response_id": response_id, "background": background})

    async def remember_starts(self, claim: Claim, starts: int) -> bool:
        """Store how often the model has been asked, before it is asked again. False: the run is lost."""
        return await self._set(claim, {"starts": starts})

    async def release(self, claim: Claim, progress: Progress, *, starts: int) -> bool:
        """Give the lease up at once, so that another worker need not wait for it to run out."""
        fields = {
            "starts": starts,
            "lease_until": self._clock.now(),
            "text": progress.text,
            "last_sequence": progress.last_sequence,
        }
        return await self._set(claim, fields)

    async def end(self, claim: Claim, end: RunEnd) -> Document | None:
        """Store the end; return the stored run, or None if the run is lost to us."""
        fields: dict[str, Any] = {
            "state": end.status,
            "text": end.text,
            "usage": {**end.usage.model_dump(), "total_tokens": end.usage.total_tokens},
            "usage_source": end.usage_source,
            "context_tokens": end.context_tokens,
            "last_sequence": end.last_sequence,
            "error": end.error,
            "annotations": end.annotations,
            "files": end.files,
            "finished_at": self._clock.now(),
        }
        if not await self._set(claim, fields):
            # Our own write may have arrived although its answer was lost: then the end is stored already.
            stored = await self._runs.find_one({"_id": claim.run_id, "fence": claim.fence})
            return stored if stored and stored["state"] != ACTIVE else None
        return await self._runs.find_one({"_id": claim.run_id})

    async def _set(self, claim: Claim, fields: dict[str, Any]) -> bool:
        result = await self._runs.update_one(
            {"_id": claim.run_id, "fence": claim.fence, "state": ACTIVE}, {"$set": fields}
        )
        return result.matched_count == 1
