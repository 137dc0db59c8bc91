"""`ledger.quota.set.v1`"""

from common.clock import Clock
from common.events.ledger import QuotaReply, SetQuotaV1
from usage_ledger.domain.account import Profile, Terms
from usage_ledger.domain.quota import QuotaSetting
from usage_ledger.domain.view import view_of
from usage_ledger.store.quotas import Quotas


class SetQuota:
    def __init__(self, quotas: Quotas, clock: Clock, terms: Terms) -> None:
        self._quotas = quotas
        self._clock = clock
        self._terms = terms

    async def __call__(self, command: SetQuotaV1) -> QuotaReply:
        setting = QuotaSetting(
            profile=Profile(user_id=command.user_id, name=command.user_name, email=command.email),
            quota=command.quota,
            effective_at=command.effective_at,
            source_event=command.source_event,
            actor=command.actor,
            reason=command.reason,
        )
        outcome = await self._quotas.set(setting)
        account = outcome.account
        assert account.quota is not None
        assert account.quota_at is not None
        return QuotaReply(
            status=outcome.status,
            quota=account.quota,
            effective_at=account.quota_at,
            source_event=account.quota_event or "",
            account=view_of(account, self._terms, now=self._clock.now()),
        )
