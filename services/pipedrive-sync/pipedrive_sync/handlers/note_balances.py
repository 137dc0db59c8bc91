"""`account.balance_changed.v1`: keeps what Pipedrive is to show current, and greets new users."""

import asyncio

from common.amqp.delivery import Delivery, Done, Outcome
from common.events.ledger import BalanceChangedV1
from common.log import get_logger
from pipedrive_sync.store.stores import Stores

log = get_logger()

_SCAN_USERS = 500


class NoteBalances:
    """Gathers who changed, so that a busy second is a few queries. Lost ones are found by `catch_up`."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._changed: set[str] = set()
        self._opened: set[str] = set()

    async def __call__(self, delivery: Delivery) -> Outcome:
        assert isinstance(delivery.message, BalanceChangedV1)
        user_id = delivery.message.account.user_id
        self._changed.add(user_id)
        if delivery.message.cause == "opening":
            self._opened.add(user_id)
        await asyncio.sleep(0)
        return Done()

    async def note(self) -> None:
        """Write down what has gathered."""
        changed, self._changed = self._changed, set()
        opened, self._opened = self._opened, set()
        try:
            await self._note(changed)
            await self._greet(opened)
        except Exception:
            self._changed |= changed
            self._opened |= opened
            raise

    async def catch_up(self) -> None:
        """Compare all linked users with what Pipedrive was last sent: events that were lost end here."""
        linked = await self._stores.people.all_linked()
        users = list(linked.values())
        for start in range(0, len(users), _SCAN_USERS):
            some = users[start : start + _SCAN_USERS]
            accounts = await self._stores.accounts.find(some)
            rows = await self._stores.outbox.find(some)
            behind = {
                user_id
                for user_id, account in accounts.items()
                if (row := rows.get(user_id)) is None
                or (row.due_at is None and row.used_sequence < account.sequence)
            }
            await self._note(behind)

    async def _note(self, user_ids: set[str]) -> None:
        if not user_ids:
            return
        people = await self._stores.people.linked(user_ids)
        accounts = await self._stores.accounts.find(list(people))
        await self._stores.outbox.changed(list(accounts.values()), people)

    async def _greet(self, user_ids: set[str]) -> None:
        if not user_ids:
            return
        accounts = await self._stores.accounts.find(user_ids)
        emails = [account.email_key for account in accounts.values() if account.email_key]
        if emails:
            await self._stores.waiting.retry_soon(emails)
