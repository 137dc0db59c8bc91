"""Looks at the truth some seconds after a webhook: it wins over what came out of order or was forged."""

import asyncio
from datetime import datetime, timedelta

from common.clock import Clock
from common.log import get_logger
from pipedrive_sync.handlers.people_gone import PeopleGone
from pipedrive_sync.handlers.set_quotas import SetQuotas
from pipedrive_sync.jobs.found_gone import found_gone
from pipedrive_sync.pipedrive.client import PipedriveRefused
from pipedrive_sync.pipedrive.gate import NotAsked
from pipedrive_sync.pipedrive.known import Known
from pipedrive_sync.pipedrive.reader import PersonReader
from pipedrive_sync.store.stores import Stores

log = get_logger()

_PEOPLE_MAX = 200
_FAILED_FOR = timedelta(minutes=1)


class ConfirmPeople:
    def __init__(
        self,
        stores: Stores,
        *,
        reader: PersonReader,
        quotas: SetQuotas,
        people_gone: PeopleGone,
        known: Known,
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._reader = reader
        self._quotas = quotas
        self._people_gone = people_gone
        self._known = known
        self._clock = clock

    async def once(self) -> int:
        """Read everybody whose time has come; return how many.

        Raises what came of the first one that failed, after all had their turn. Who failed is due again in
        a minute; who could not even be asked about stays due.
        """
        if not self._known.compared.is_set() or self._known.keys.quota is None:
            # Until the field was found there, it may be another account, with other people.
            return 0
        due = await self._stores.people.to_confirm(now=self._clock.now(), people_max=_PEOPLE_MAX)
        results = await asyncio.gather(
            *(self._confirm(person_id, asked_for) for person_id, asked_for in due.items()),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(due)

    async def _confirm(self, person_id: int, asked_for: datetime) -> None:
        try:
            await self._look_at(person_id)
        except NotAsked:
            raise
        except Exception:
            # It costs, and would every second.
            again_at = self._clock.now() + _FAILED_FOR
            await self._stores.people.not_confirmed(person_id, asked_for, again_at=again_at)
            raise
        await self._stores.people.confirmed(person_id, asked_for)

    async def _look_at(self, person_id: int) -> None:
        try:
            record = await self._reader.read(person_id)
        except PipedriveRefused as error:
            log.warning("person_unreadable", person_id=person_id, why=str(error))
        else:
            if record is None:
                gone = await found_gone(self._stores, person_id, now=self._clock.now())
                await self._people_gone.handle(gone)
            else:
                reason = f"quota of person {person_id} read in Pipedrive"
                await self._quotas.apply(record.notice(actor="pipedrive", reason=reason))
