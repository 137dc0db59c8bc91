"""What Pipedrive is to show of each linked user: one row for each, so that changes are coalesced."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import UpdateOne

from common.clock import Clock
from common.mongo.client import Database, Document
from pipedrive_sync.domain.write_back import WRITES_MAX, Figures, Sent, Urgency, due_at, urgency
from pipedrive_sync.store.accounts import AccountRow

OUTBOX = "crm_outbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """`used` is what was used up to the row `used_sequence` of the account. `due_at` is None when clean.

    Until `not_before` nothing is written to this person, whatever changes: Pipedrive refused it, or failed.
    """

    user_id: str
    person_id: int
    used: int = 0
    used_sequence: int = 0
    sent: Sent | None = None
    writes: tuple[datetime, ...] = ()
    urgency: Urgency = Urgency.REFRESH
    revision: int = 0
    changed_at: datetime | None = None
    due_at: datetime | None = None
    not_before: datetime | None = None


class UsageOutbox:
    def __init__(self, db: Database, clock: Clock, *, every: timedelta) -> None:
        self._outbox = db[OUTBOX]
        self._clock = clock
        self._every = every

    async def find(self, user_ids: Sequence[str]) -> dict[str, OutboxRow]:
        found = self._outbox.find({"_id": {"$in": list(user_ids)}})
        return {document["_id"]: _row(document) async for document in found}

    async def changed(self, accounts: Sequence[AccountRow], people: dict[str, int]) -> None:
        """Note that figures of linked users may have changed. Repeats only make what is due more urgent."""
        now = self._clock.now()
        rows = await self.find([account.user_id for account in accounts])
        writes: list[UpdateOne] = []
        for account in accounts:
            row = rows.get(account.user_id)
            sent = row.sent if row else None
            level = urgency(Figures(used=0, balance=account.balance), account.quota, sent)
            changed_at = (row.changed_at if row else None) or now
            due = due_at(
                level,
                changed_at=changed_at,
                sent=sent,
                writes=list(row.writes) if row else [],
                every=self._every,
            )
            if row is not None and row.not_before is not None and row.person_id == people[account.user_id]:
                due = max(due, row.not_before)
            fields: Document = {
                "person_id": people[account.user_id],
                "urgency": int(level),
                "changed_at": changed_at,
                "due_at": due,
            }
            update = {"$set": fields, "$inc": {"revision": 1}}
            writes.append(UpdateOne({"_id": account.user_id}, update, upsert=True))
        if writes:
            await self._outbox.bulk_write(writes, ordered=False)

    async def due(self, *, rows_max: int) -> list[OutboxRow]:
        """Return what may be written now, the most urgent first, then what has waited longest."""
        found = self._outbox.find({"due_at": {"$lte": self._clock.now()}})
        found = found.sort([("urgency", 1), ("changed_at", 1)]).limit(rows_max)
        return [_row(document) async for document in found]

    async def sent(
        self, row: OutboxRow, figures: Figures, *, quota: int | None, used_sequence: int, wrote: bool
    ) -> bool:
        """Note what Pipedrive shows now; `wrote` is False when it showed it already.

        Return False when more has changed since the row was read: it is still due then.
        """
        now = self._clock.now()
        fields: Document = {
            "used": figures.used,
            "used_sequence": used_sequence,
            "sent_used": figures.used,
            "sent_balance": figures.balance,
            "sent_quota": quota,
        }
        update: Document = {"$set": fields}
        if wrote:
            fields["sent_at"] = now
            update["$push"] = {"writes": {"$each": [now], "$slice": -WRITES_MAX}}
        await self._outbox.update_one({"_id": row.user_id}, update)
        result = await self._outbox.update_one(
            {"_id": row.user_id, "revision": row.revision}, {"$set": {"changed_at": None, "due_at": None}}
        )
        return result.matched_count == 1

    async def postpone(self, row: OutboxRow, delay: timedelta) -> None:
        until = self._clock.now() + delay
        await self._outbox.update_one({"_id": row.user_id}, {"$set": {"due_at": until, "not_before": until}})

    async def write_again(self, user_id: str) -> None:
        """Have the figures written though they did not change: somebody else wrote them."""
        now = self._clock.now()
        row = (await self.find([user_id])).get(user_id)
        if row is None:
            return
        due = due_at(
            Urgency.REFRESH, changed_at=now, sent=row.sent, writes=list(row.writes), every=self._every
        )
        if row.not_before is not None:
            due = max(due, row.not_before)
        fields: Document = {
            "sent_used": None,
            "changed_at": now,
            "urgency": int(Urgency.REFRESH),
            "due_at": due,
        }
        await self._outbox.update_one({"_id": user_id}, {"$set": fields, "$inc": {"revision": 1}})

    async def remove(self, user_id: str) -> None:
        await self._outbox.delete_one({"_id": user_id})

    async def oldest_due_s(self) -> float:
        """Return how long the oldest due write has waited, in seconds; 0 if none is due."""
        now = self._clock.now()
        rows = await self._outbox.find({"due_at": {"$lte": now}}).sort("due_at", 1).limit(1).to_list(1)
        return (now - rows[0]["due_at"]).total_seconds() if rows else 0.0


def _row(document: Document) -> OutboxRow:
    sent: Sent | None = None
    if document.get("sent_at") is not None:
        # Figures that somebody else wrote over are none that we know.
        used, balance = document["sent_used"], document["sent_balance"]
        sent = Sent(
            figures=Figures(used=-1 if used is None else used, balance=balance),
            quota=document["sent_quota"],
            at=document["sent_at"],
        )
    return OutboxRow(
        user_id=document["_id"],
        person_id=document["person_id"],
        used=document.get("used", 0),
        used_sequence=document.get("used_sequence", 0),
        sent=sent,
        writes=tuple(document.get("writes", ())),
        urgency=Urgency(document["urgency"]),
        revision=document.get("revision", 0),
        changed_at=document.get("changed_at"),
        due_at=document.get("due_at"),
        not_before=document.get("not_before"),
    )
