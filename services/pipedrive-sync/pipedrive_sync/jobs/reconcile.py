"""Compares people in Pipedrive with what is in force, and puts right what was missed."""

import asyncio
from datetime import datetime, timedelta

from pymongo.errors import ConnectionFailure

from common.clock import Clock
from common.errors import Unavailable
from common.log import get_logger
from common.metrics import CRM_REPAIRS
from pipedrive_sync.domain.decide import Policy, tokens_of
from pipedrive_sync.domain.notice import Cleared
from pipedrive_sync.domain.record import PersonRecord
from pipedrive_sync.handlers.people_gone import PeopleGone
from pipedrive_sync.handlers.set_quotas import SetQuotas
from pipedrive_sync.jobs.found_gone import found_gone
from pipedrive_sync.pipedrive.client import PipedriveClient, PipedriveRefused
from pipedrive_sync.pipedrive.gate import NotAsked
from pipedrive_sync.pipedrive.quota_field import QuotaField
from pipedrive_sync.pipedrive.reader import PersonReader
from pipedrive_sync.store.accounts import AccountRow
from pipedrive_sync.store.outbox import OutboxRow
from pipedrive_sync.store.stores import Stores

log = get_logger()

_CURSOR = "reconcile"
_FULL = "reconcile_full"
_OVERLAP = timedelta(minutes=10)
_FAILED_FOR = timedelta(hours=1)
_LEFT_TO_WEBHOOKS = timedelta(minutes=1)
"""A change younger than this is still on its way to us, and no miss."""

MISSING = "missing"
"""The cursor that keeps how many linked people the last full scan did not list, when they were too many."""
_MISSING_MAX = 5
_MISSING_SHARE_MAX = 0.03


class Reconcile:
    """Costs ten tokens for each page of 500 people: ten when little happened, thirty for 1,000 in full."""

    def __init__(
        self,
        stores: Stores,
        *,
        client: PipedriveClient,
        field: QuotaField,
        quotas: SetQuotas,
        reader: PersonReader,
        people_gone: PeopleGone,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._stores = stores
        self._client = client
        self._known = field.known
        self._field = field
        self._quotas = quotas
        self._reader = reader
        self._people_gone = people_gone
        self._clock = clock
        self._policy = policy

    async def once(self, *, full_every: timedelta) -> int:
        """Look at everybody if that is due, and at what was updated; return how many were put right."""
        repairs = 0
        try:
            repairs = await self.full_if_due(every=full_every)
        except Unavailable as error:
            log.warning("full_comparison_failed", code=error.code, why=error.detail)
        except Exception:
            # The edge: what keeps us from looking at everybody need not keep us from what changed.
            log.exception("full_comparison_failed")
        return repairs + await self.recent()

    async def recent(self) -> int:
        """Look at what was updated since the last time; return how many quotas were put right."""
        since = await self._stores.cursors.time(_CURSOR)
        if since is None:
            return await self.full_if_due(every=timedelta())
        if not await self._knows_quota():
            return 0
        until = self._clock.now() - _LEFT_TO_WEBHOOKS
        repairs = 0
        pages = self._client.pages(self._known.keys, since=since - _OVERLAP, until=until)
        async for page in pages:
            repairs += await self._compare(page)
        await self._stores.cursors.set_time(_CURSOR, until)
        return repairs

    async def full(self) -> int:
        """Look at everybody, also for people that are gone; return how many quotas were put right."""
        # A deleted field would read as emptied, for everybody.
        await self._field.compare()
        if self._known.keys.quota is None:
            return 0
        started_at = self._clock.now()
        repairs = 0
        seen: set[int] = set()
        async for page in self._client.pages(self._known.keys):
            seen |= {record.person_id for record in page}
            repairs += await self._compare(page)
        await self._look_for_missing(seen)
        await self._stores.cursors.set_time(_CURSOR, started_at)
        await self._stores.cursors.set_time(_FULL, started_at)
        return repairs

    async def full_if_due(self, *, every: timedelta) -> int:
        """Look at everybody if the last time is long ago. One that failed is not repeated within an hour."""
        kept = await self._stores.cursors.read(_FULL)
        last: datetime | None = kept.get("at")
        failed_at: datetime | None = kept.get("failed_at")
        now = self._clock.now()
        if last is not None and now - last < every:
            return 0
        if failed_at is not None and (last is None or last < failed_at) and now - failed_at < _FAILED_FOR:
            return 0
        try:
            return await self.full()
        except NotAsked:
            raise
        except Exception:
            await self._stores.cursors.write(_FULL, {"failed_at": self._clock.now()})
            raise

    async def _knows_quota(self) -> bool:
        """Ask for a field that is missing, in place of the comparison, which would cost as much."""
        if self._known.is_incomplete:
            await self._field.compare()
        return self._known.keys.quota is not None

    async def _compare(self, page: list[PersonRecord]) -> int:
        users = await self._stores.people.users_of([record.person_id for record in page])
        accounts = await self._stores.accounts.find(list(users.values()))
        rows = await self._stores.outbox.find(list(users.values()))
        repairs = 0
        for record in page:
            user_id = users.get(record.person_id, "")
            try:
                repairs += await self._compare_one(record, accounts.get(user_id), rows.get(user_id))
            except (Unavailable, PipedriveRefused, ConnectionFailure):
                # Something is away, or refuses us, for all people alike.
                raise
            except Exception:
                # The edge: one person that cannot be handled must not end it for those after it.
                log.exception("person_not_compared", person_id=record.person_id)
        return repairs

    async def _compare_one(
        self, record: PersonRecord, account: AccountRow | None, row: OutboxRow | None
    ) -> bool:
        is_repaired = await self._repair(record, account)
        if row is not None and _is_overwritten(record, row):
            await self._stores.outbox.write_again(row.user_id)
        return is_repaired

    async def _repair(self, record: PersonRecord, account: AccountRow | None) -> bool:
        tokens = tokens_of(record.wanted, self._policy)
        if account is None:
            nothing_said = isinstance(record.wanted, Cleared)
        else:
            same_user = record.user_ref in {None, account.user_id}
            nothing_said = same_user and (isinstance(record.wanted, Cleared) and tokens is None)
            nothing_said |= same_user and tokens is not None and tokens == account.quota
        if nothing_said:
            return False
        reason = f"quota of person {record.person_id} found by reconciliation"
        result = await self._quotas.apply(record.notice(actor="pipedrive", reason=reason))
        if (result.status, result.why) == ("waiting", "user_of_another_person"):
            await self._look_at_other_person(record)
        if result.status != "applied":
            return False
        CRM_REPAIRS.inc()
        log.warning("quota_repaired", person_id=record.person_id, user_id=result.user_id)
        return True

    async def _look_at_other_person(self, record: PersonRecord) -> None:
        """Have the person looked at whose user this one asks for: it may have been merged into this one."""
        asked_for = {record.user_ref} if record.user_ref else set[str]()
        users = asked_for or await self._stores.accounts.users_by_email(record.emails)
        for person_id in (await self._stores.people.linked(users)).values():
            await self._stores.people.confirm_later(person_id, self._clock.now())

    async def _look_for_missing(self, seen: set[int]) -> None:
        """Ask for the linked people that were not in the list: pages shift, and people are hidden or gone.

        So many at once are rather hidden from us than deleted. Then nobody is taken for gone.
        """
        linked = await self._stores.people.all_linked()
        missing = sorted(linked.keys() - seen)
        is_too_many = len(missing) > max(_MISSING_MAX, _MISSING_SHARE_MAX * len(linked))
        counts = {"people": len(missing) if is_too_many else 0, "linked": len(linked)}
        await self._stores.cursors.write(MISSING, counts)
        if is_too_many:
            log.error("people_missing", **counts)
            return
        results = await asyncio.gather(*map(self._ask_for, missing), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _ask_for(self, person_id: int) -> None:
        try:
            record = await self._reader.read(person_id)
        except PipedriveRefused as error:
            log.warning("person_unreadable", person_id=person_id, why=str(error))
            return
        if record is not None:
            await self._compare([record])
            return
        await self._people_gone.handle(await found_gone(self._stores, person_id, now=self._clock.now()))


def _is_overwritten(record: PersonRecord, row: OutboxRow) -> bool:
    """Tell whether somebody else changed our figures since we wrote them."""
    if row.sent is None or row.due_at is not None or record.updated_at <= row.sent.at:
        return False
    shown = (record.used, record.balance)
    return shown != (row.sent.figures.used, row.sent.figures.balance)
