"""`python -m pipedrive_sync doctor`: says in plain words what is wrong, and what to do."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from common.clock import Clock, rfc3339
from common.integration_inbox import DECISIONS, INBOX
from common.mongo.client import Database
from pipedrive_sync.jobs.reconcile import MISSING
from pipedrive_sync.jobs.supervise import problems_of
from pipedrive_sync.pipedrive.client import PipedriveClient, PipedriveRefused
from pipedrive_sync.pipedrive.gate import PipedriveAway
from pipedrive_sync.settings import Settings
from pipedrive_sync.store.stores import Stores

_RECONCILED_WITHIN_PERIODS = 3
_DECIDED_WITHIN = timedelta(minutes=5)
_OVERDUE_S = 3_600


@dataclass(frozen=True, slots=True)
class Finding:
    is_well: bool
    what: str


class Doctor:
    def __init__(
        self,
        settings: Settings,
        db: Database,
        stores: Stores,
        clock: Clock,
        *,
        client: PipedriveClient | None,
    ) -> None:
        self._settings = settings
        self._db = db
        self._stores = stores
        self._clock = clock
        self._client = client

    async def run(self) -> AsyncIterator[Finding]:
        async for finding in self._here():
            yield finding
        if self._client is None:
            yield Finding(is_well=False, what="PIPEDRIVE_TOKEN is not set: quotas come by /int/tokens only.")
            return
        try:
            async for finding in self._there(self._client):
                yield finding
        except PipedriveAway as error:
            yield Finding(is_well=False, what=f"Pipedrive cannot be asked: {error.detail}.")
        except PipedriveRefused as error:
            yield Finding(is_well=False, what=f"Pipedrive refused: {error}.")

    async def _here(self) -> AsyncIterator[Finding]:
        before = self._clock.now() - _DECIDED_WITHIN
        newest = self._db[INBOX].find({"received_at": {"$lte": before}}, {"_id": 1}).sort("received_at", -1)
        ids = [row["_id"] async for row in newest.limit(500)]
        decided = await self._db[DECISIONS].count_documents({"_id": {"$in": ids}})
        undecided = len(ids) - decided
        yield Finding(undecided == 0, f"{undecided} notifications are not decided after five minutes.")
        waiting = await self._stores.waiting.count()
        yield Finding(waiting == 0, f"{waiting} notifications wait for an operator (the panel Operations).")
        missing = await self._stores.cursors.read(MISSING)
        if missing.get("people"):
            yield Finding(
                False,
                f"{missing['people']} of {missing['linked']} linked people were not listed by the last full "
                "comparison. They count as hidden, not as deleted: the token's user must see every person.",
            )
        late_s = await self._stores.outbox.oldest_due_s()
        yield Finding(
            late_s < _OVERDUE_S, f"The oldest figure not yet in Pipedrive is {late_s / 60:.0f} min late."
        )

    async def _there(self, client: PipedriveClient) -> AsyncIterator[Finding]:
        # Before the probe, which ends the pause if it succeeds; the service goes on at its own one.
        pause = client.gate.pause
        yield Finding(pause is None, f"Calls are paused: {pause}." if pause else "Calls are not paused.")
        account = await client.account(purpose="probe")
        yield Finding(is_well=True, what=f"The token works: {account.user_name} of {account.company_name}.")
        yield Finding(
            account.is_admin, f"The token's user is {'' if account.is_admin else 'not '}an administrator."
        )
        spent, cap = await client.gate.spent_today(), self._settings.budget.cap
        yield Finding(spent < cap, f"{spent} of our {cap} tokens were spent today.")
        fields = {field.key: field.name for field in await client.fields()}
        kept = await self._stores.cursors.read("fields")
        for role, name in self._settings.field_names.items():
            is_there = kept.get(role) in fields
            yield Finding(is_there, f'The field "{name}" is {"there" if is_there else "missing: run setup"}.')
        async for finding in self._traffic(client):
            yield finding

    async def _traffic(self, client: PipedriveClient) -> AsyncIterator[Finding]:
        wanted = self._settings.subscription
        if wanted is None:
            yield Finding(
                is_well=False, what="DIST_URL or INT_PASSWORD is not set: Pipedrive cannot post to us."
            )
        else:
            problems = problems_of(await client.webhooks(), wanted.url)
            for problem in problems:
                yield Finding(is_well=False, what=f"The webhook: {problem}.")
            if not problems:
                yield Finding(is_well=True, what="There is exactly one webhook, and it works.")
        last = await self._stores.cursors.time("reconcile")
        late = timedelta(seconds=self._settings.pipedrive_reconcile_every_s * _RECONCILED_WITHIN_PERIODS)
        is_recent = last is not None and self._clock.now() - last < late
        yield Finding(is_recent, f"The last reconciliation was {rfc3339(last) if last else 'never'}.")
