"""Quotas: stores what `domain.quota` decides."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from common.clock import Clock
from common.mongo.client import Database
from common.usage_rollup import TRANSACTIONS
from usage_ledger.domain.account import Account, Terms
from usage_ledger.domain.quota import (
    QuotaOutcome,
    QuotaSetting,
    check_setting,
    open_with_quota,
    set_quota,
)
from usage_ledger.domain.transaction import opening_id
from usage_ledger.store.conflicts import until_current
from usage_ledger.store.documents import account_of
from usage_ledger.store.journal import ACCOUNTS, Journal

_BATCH_MAX = 50


@dataclass(frozen=True, slots=True)
class _Asked:
    setting: QuotaSetting
    outcome: asyncio.Future[QuotaOutcome]


class Quotas:
    """Any number of repeats, in any order and from many processes at once, ends the same.

    What is asked for while a batch is being stored is the next batch: a bulk edit in the CRM is a few
    transactions, a single edit is one at once.
    """

    def __init__(self, db: Database, journal: Journal, clock: Clock, *, terms: Terms) -> None:
        self._accounts = db[ACCOUNTS]
        self._rows = db[TRANSACTIONS]
        self._journal = journal
        self._clock = clock
        self._terms = terms
        self._asked: list[_Asked] = []
        self._work: asyncio.Task[None] | None = None

    async def set(self, setting: QuotaSetting) -> QuotaOutcome:
        """Bring a quota into force, making the account if there is none. Raises Malformed, Unavailable."""
        check_setting(setting)
        asked = _Asked(setting, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._store_all())
        return await asyncio.shield(asked.outcome)

    async def _store_all(self) -> None:
        while self._asked:
            batch = self._take()
            settings = [asked.setting for asked in batch]
            try:
                outcomes = await until_current(lambda settings=settings: self._store(settings))
            except Exception as error:  # noqa: BLE001 - whoever asked gets the failure
                for asked in batch:
                    asked.outcome.set_exception(error)
                    # Nobody may be waiting any more.
                    asked.outcome.exception()
                continue
            for asked, outcome in zip(batch, outcomes, strict=True):
                asked.outcome.set_result(outcome)

    def _take(self) -> list[_Asked]:
        """Take the next settings, one for each user: a second one builds on the first."""
        batch: dict[str, _Asked] = {}
        left: list[_Asked] = []
        for asked in self._asked:
            user_id = asked.setting.profile.user_id
            if user_id in batch or len(batch) == _BATCH_MAX:
                left.append(asked)
            else:
                batch[user_id] = asked
        self._asked = left
        return list(batch.values())

    async def _store(self, settings: Sequence[QuotaSetting]) -> list[QuotaOutcome]:
        user_ids = [setting.profile.user_id for setting in settings]
        found = self._accounts.find({"_id": {"$in": user_ids}})
        accounts = {document["_id"]: account_of(document) async for document in found}
        opening_tokens = await self._opening_tokens([a for a in accounts.values() if a.quota is None])
        now = self._clock.now()
        outcomes: list[QuotaOutcome] = []
        for setting in settings:
            user_id = setting.profile.user_id
            account = accounts.get(user_id)
            if account is None:
                outcomes.append(open_with_quota(setting, self._terms, at=now))
            else:
                opened_with = opening_tokens.get(user_id, 0)
                outcomes.append(set_quota(account, setting, opening_tokens=opened_with, at=now))
        await self._journal.commit([o.posting for o in outcomes if o.posting is not None])
        return outcomes

    async def _opening_tokens(self, accounts: Sequence[Account]) -> dict[str, int]:
        """Return what accounts without a quota were opened with."""
        if not accounts:
            return {}
        ids = [opening_id(account.user_id) for account in accounts]
        rows = self._rows.find({"_id": {"$in": ids}}, {"user_id": 1, "tokens": 1})
        return {row["user_id"]: row["tokens"] async for row in rows}
