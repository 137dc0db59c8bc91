"""Reads single people for many askers at once: a bulk edit is a few calls, not hundreds."""

import asyncio
from collections.abc import Callable

from pipedrive_sync.domain.custom_fields import FieldKeys
from pipedrive_sync.domain.record import PersonRecord
from pipedrive_sync.pipedrive.client import IDS_MAX, PipedriveClient

Asked = asyncio.Future[PersonRecord | None]

_GATHER_S = 0.05
_SINGLE_MAX = 3
"""Up to so many people are read one by one: cheaper than a list, which costs ten."""


class PersonReader:
    """Gathers what is asked for within a moment, or while others are being read.

    `keys` tells the fields as they are known now.
    """

    def __init__(self, client: PipedriveClient, keys: Callable[[], FieldKeys]) -> None:
        self._client = client
        self._keys = keys
        self._asked: dict[int, Asked] = {}
        self._work: asyncio.Task[None] | None = None

    async def read(self, person_id: int) -> PersonRecord | None:
        """Read a person as it is now or later, never as it was before. None if it is gone.

        Raises PipedriveAway, PipedriveRefused; PersonHidden for a person that is not for us.
        """
        future = self._asked.get(person_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._asked[person_id] = future
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._read_all())
        return await asyncio.shield(future)

    async def _read_all(self) -> None:
        await asyncio.sleep(_GATHER_S)
        while self._asked:
            asked, self._asked = self._asked, {}
            ids = list(asked)
            size = 1 if len(ids) <= _SINGLE_MAX else IDS_MAX
            batches = [ids[start : start + size] for start in range(0, len(ids), size)]
            await asyncio.gather(*(self._answer(batch, asked) for batch in batches))

    async def _answer(self, ids: list[int], asked: dict[int, Asked]) -> None:
        try:
            found = await self._read(ids)
        except Exception as error:  # noqa: BLE001 - the edge: whoever asked gets the failure
            for person_id in ids:
                asked[person_id].set_exception(error)
                # Nobody may be waiting any more.
                asked[person_id].exception()
            return
        for person_id in ids:
            if person_id in found:
                asked[person_id].set_result(found[person_id])
        # A list leaves out who is gone and who is hidden from us alike. Only the person's own address tells.
        missing = [person_id for person_id in ids if person_id not in found]
        await asyncio.gather(*(self._answer([person_id], asked) for person_id in missing))

    async def _read(self, ids: list[int]) -> dict[int, PersonRecord | None]:
        keys = self._keys()
        if len(ids) == 1:
            return {ids[0]: await self._client.person(ids[0], keys)}
        return {**await self._client.persons(ids, keys)}
