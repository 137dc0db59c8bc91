"""Writes tokens used and balance to Pipedrive: what is due, the most urgent first."""

from datetime import timedelta

from common.clock import Clock
from common.log import get_logger
from common.metrics import CRM_OUTBOX_OLDEST_S, CRM_WRITES
from pipedrive_sync.domain.budget import Purpose
from pipedrive_sync.domain.write_back import Figures, Urgency
from pipedrive_sync.handlers.people_gone import PeopleGone
from pipedrive_sync.jobs.found_gone import found_gone
from pipedrive_sync.pipedrive.client import PipedriveClient, PipedriveRefused
from pipedrive_sync.pipedrive.gate import NotAsked, PipedriveAway
from pipedrive_sync.pipedrive.known import Known
from pipedrive_sync.store.accounts import AccountRow
from pipedrive_sync.store.outbox import OutboxRow
from pipedrive_sync.store.stores import Stores

log = get_logger()

_ROWS_MAX = 20
_REFUSED_FOR = timedelta(hours=1)
_FAILED_FOR = timedelta(minutes=5)
_PURPOSE: dict[Urgency, Purpose] = {
    Urgency.EXHAUSTED: "exhausted",
    Urgency.LEVEL_CROSSED: "level",
    Urgency.REFRESH: "refresh",
}


class SendUsage:
    def __init__(
        self,
        stores: Stores,
        *,
        client: PipedriveClient,
        known: Known,
        people_gone: PeopleGone,
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._client = client
        self._known = known
        self._people_gone = people_gone
        self._clock = clock

    async def once(self) -> int:
        """Write what is due; return how many people were written.

        Raises PipedriveAway when no more may be written now; what is left stays due. A row whose write
        failed is left for a while, so that it does not keep those behind it waiting.
        """
        CRM_OUTBOX_OLDEST_S.set(await self._stores.outbox.oldest_due_s())
        if not self._known.compared.is_set() or not self._known.keys.figures:
            # Until the fields were found there, it may be another account, with other people.
            return 0
        written = 0
        while rows := await self._stores.outbox.due(rows_max=_ROWS_MAX):
            for row in rows:
                written += await self._send(row)
        return written

    async def _send(self, row: OutboxRow) -> bool:
        person_id = (await self._stores.people.linked([row.user_id])).get(row.user_id)
        account = (await self._stores.accounts.find([row.user_id])).get(row.user_id)
        if person_id is None or account is None:
            await self._stores.outbox.remove(row.user_id)
            return False
        figures = await self._figures(row, account)
        if row.sent is not None and row.sent.figures == figures and row.person_id == person_id:
            await self._note(row, account, figures, person_id, wrote=False)
            return False
        try:
            result = await self._client.write_figures(
                person_id, figures, self._known.keys, purpose=_PURPOSE[row.urgency]
            )
        except PipedriveRefused as error:
            log.warning("figures_refused", person_id=person_id, why=str(error))
            result = "forbidden"
        except NotAsked:
            raise
        except PipedriveAway:
            await self._stores.outbox.postpone(row, _FAILED_FOR)
            raise
        match result:
            case "written":
                CRM_WRITES.labels(urgency=row.urgency.name.lower()).inc()
                await self._note(row, account, figures, person_id, wrote=True)
            case "forbidden":
                await self._stores.outbox.postpone(row, _REFUSED_FOR)
            case "not_found":
                await self._gone(person_id)
        return result == "written"

    async def _figures(self, row: OutboxRow, account: AccountRow) -> Figures:
        newly = await self._stores.accounts.used(
            row.user_id, after=row.used_sequence, through=account.sequence
        )
        return Figures(used=row.used + newly, balance=account.balance)

    async def _note(
        self, row: OutboxRow, account: AccountRow, figures: Figures, person_id: int, *, wrote: bool
    ) -> None:
        is_clean = await self._stores.outbox.sent(
            row, figures, quota=account.quota, used_sequence=account.sequence, wrote=wrote
        )
        if not is_clean:
            # It changed meanwhile: how urgent the rest is follows from what was sent just now.
            accounts = await self._stores.accounts.find([row.user_id])
            await self._stores.outbox.changed(list(accounts.values()), {row.user_id: person_id})

    async def _gone(self, person_id: int) -> None:
        await self._people_gone.handle(await found_gone(self._stores, person_id, now=self._clock.now()))
