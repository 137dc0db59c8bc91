"""Quotas: stores what `domain.quota` decides."""

from common.clock import Clock
from common.mongo.client import Database
from common.usage_rollup import TRANSACTIONS
from usage_ledger.domain.account import Terms
from usage_ledger.domain.quota import QuotaOutcome, QuotaSetting, open_with_quota, set_quota
from usage_ledger.domain.transaction import opening_id
from usage_ledger.store.conflicts import until_current
from usage_ledger.store.documents import account_of
from usage_ledger.store.journal import ACCOUNTS, Journal


class Quotas:
    """Any number of repeats, in any order and from many processes at once, ends the same."""

    def __init__(self, db: Database, journal: Journal, clock: Clock, *, terms: Terms) -> None:
        self._accounts = db[ACCOUNTS]
        self._rows = db[TRANSACTIONS]
        self._journal = journal
        self._clock = clock
        self._terms = terms

    async def set(self, setting: QuotaSetting) -> QuotaOutcome:
        """Bring a quota into force, making the account if there is none. Raises Malformed."""

        async def change() -> QuotaOutcome:
            outcome = await self._decide(setting)
            if outcome.posting is not None:
                await self._journal.commit([outcome.posting])
            return outcome

        return await until_current(change)

    async def _decide(self, setting: QuotaSetting) -> QuotaOutcome:
        user_id, now = setting.profile.user_id, self._clock.now()
        document = await self._accounts.find_one({"_id": user_id})
        if document is None:
            return open_with_quota(setting, self._terms, at=now)
        account = account_of(document)
        opening_tokens = await self._opening_tokens(user_id) if account.quota is None else 0
        return set_quota(account, setting, opening_tokens=opening_tokens, at=now)

    async def _opening_tokens(self, user_id: str) -> int:
        row = await self._rows.find_one({"_id": opening_id(user_id)}, {"tokens": 1})
        return int(row["tokens"]) if row is not None else 0
