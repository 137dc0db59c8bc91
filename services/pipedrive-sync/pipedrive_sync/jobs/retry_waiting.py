"""Tries again what waits for something that may come by itself: Pipedrive, or the user's first visit."""

from common.metrics import CRM_WAITING
from pipedrive_sync.handlers.set_quotas import SetQuotas
from pipedrive_sync.store.stores import Stores

_ROWS_MAX = 100


class RetryWaiting:
    def __init__(self, stores: Stores, *, quotas: SetQuotas) -> None:
        self._stores = stores
        self._quotas = quotas

    async def once(self) -> int:
        """Try what is due; return how many are settled by that."""
        settled = 0
        for row in await self._stores.waiting.due(rows_max=_ROWS_MAX):
            result = await self._quotas.apply(row.notice)
            if result.status == "waiting":
                continue
            settled += 1
            await self._stores.waiting.remove(row)
            if row.notice.inbox_id is not None:
                await self._stores.inbox.decide(row.notice.inbox_id, result)
        CRM_WAITING.set(await self._stores.waiting.count())
        return settled
