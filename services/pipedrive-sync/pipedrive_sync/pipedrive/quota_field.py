"""Tells an emptied quota from a deleted field: both are read as nothing, the latter for everybody."""

import asyncio
from datetime import datetime

from common.clock import Clock
from pipedrive_sync.pipedrive.client import PipedriveClient
from pipedrive_sync.pipedrive.known import Known


class QuotaField:
    """Asks for the account's fields, once for all readings that were made before."""

    def __init__(self, client: PipedriveClient, known: Known, clock: Clock) -> None:
        self._client = client
        self.known = known
        self._clock = clock
        self._turn = asyncio.Lock()
        self._compared_at: datetime | None = None

    async def was_there(self, key: str, *, at: datetime) -> bool:
        """Tell whether a reading by this key at that time found the field.

        A key never comes back, so a field that is there later was there at the time. Raises PipedriveAway
        and PipedriveRefused.
        """
        async with self._turn:
            if self._compared_at is None or self._compared_at < at:
                await self.compare()
        return self.known.keys.quota == key

    async def compare(self) -> None:
        asked_at = self._clock.now()
        await self.known.compare(await self._client.fields())
        self._compared_at = asked_at
