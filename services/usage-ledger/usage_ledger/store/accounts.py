"""Accounts: opening, holds, grants and adjustments."""

from dataclasses import replace
from datetime import datetime, timedelta

from common.clock import Clock, rfc3339
from common.errors import Conflict, IdReused, InsufficientBalance, TooManyRuns, UnknownAccount
from common.metrics import LEDGER_HOLDS
from common.mongo.client import Database
from common.usage_rollup import TRANSACTIONS
from usage_ledger.domain.account import (
    Account,
    Adjustment,
    Hold,
    HoldRequest,
    Profile,
    Terms,
    adjust,
    check_adjustment,
    grant_if_due,
    next_grant_at,
    open_account,
    requested,
    without_hold,
)
from usage_ledger.domain.transaction import adjustment_id
from usage_ledger.store.conflicts import Outdated, until_current
from usage_ledger.store.documents import account_of, profile_fields, update_of
from usage_ledger.store.journal import ACCOUNTS, Journal

_SEEN_EVERY = timedelta(minutes=1)


class Accounts:
    """The accounts of all users. Every method may be repeated, and called by many processes at once."""

    def __init__(
        self, db: Database, journal: Journal, clock: Clock, *, terms: Terms, hold_ttl: timedelta
    ) -> None:
        self._accounts = db[ACCOUNTS]
        self._rows = db[TRANSACTIONS]
        self._journal = journal
        self._clock = clock
        self._terms = terms
        self._hold_ttl = hold_ttl

    async def find(self, user_id: str) -> Account | None:
        document = await self._accounts.find_one({"_id": user_id})
        return account_of(document) if document else None

    async def get(self, user_id: str) -> Account:
        """Return the account. Raises UnknownAccount."""
        account = await self.find(user_id)
        if account is None:
            raise UnknownAccount
        return account

    async def open(self, profile: Profile) -> Account:
        """Return the user's account: made if missing, its profile current, granted anew if depleted."""

        async def change() -> Account:
            now = self._clock.now()
            account = await self.find(profile.user_id)
            if account is None:
                posting = open_account(profile, self._terms, at=now)
                await self._journal.commit([posting])
                return posting.after
            account = await self._seen(account, profile, now)
            grant = grant_if_due(account, self._terms, now=now)
            if grant is None:
                return account
            await self._journal.commit([grant])
            return grant.after

        return await until_current(change)

    async def place_hold(self, request: HoldRequest) -> Hold:
        """Reserve tokens for a run; the same run always has the same hold.

        Raises UnknownAccount, TooManyRuns, InsufficientBalance, or Conflict for a run that is over.
        """
        return await until_current(lambda: self._place_hold(request))

    async def _place_hold(self, request: HoldRequest) -> Hold:
        # Nearly every account can pay for the most that a run may use: then one write is all, and
        # nobody waits for a read before it.
        if hold := await self._reserve(request, request.tokens_max):
            return hold
        account = await self.get(request.user_id)
        if hold := account.hold_of(request.run_id):
            LEDGER_HOLDS.labels(result="repeated").inc()
            return hold
        if request.run_id in account.closed_run_ids:
            raise Conflict("This run is over")
        if len(account.holds) >= request.open_holds_max:
            LEDGER_HOLDS.labels(result="too_many").inc()
            raise TooManyRuns
        tokens = request.size(account.available)
        if tokens is None:
            await self._refuse(account, request, self._clock.now())
        elif hold := await self._reserve(request, tokens):
            return hold
        raise Outdated

    async def _reserve(self, request: HoldRequest, tokens: int) -> Hold | None:
        """Take a hold of this size if it may be taken: this one write decides."""
        now = self._clock.now()
        hold = Hold(run_id=request.run_id, tokens=tokens, placed_at=now, expires_at=now + self._hold_ttl)
        result = await self._accounts.update_one(
            {
                "_id": request.user_id,
                "available": {"$gte": tokens},
                "holds.run_id": {"$ne": hold.run_id},
                f"holds.{request.open_holds_max - 1}": {"$exists": False},
                "closed_run_ids": {"$ne": hold.run_id},
            },
            {
                "$inc": {"held": tokens, "available": -tokens},
                "$push": {
                    "holds": {
                        "run_id": hold.run_id,
                        "tokens": tokens,
                        "placed_at": hold.placed_at,
                        "expires_at": hold.expires_at,
                    }
                },
            },
        )
        if result.modified_count == 0:
            return None
        LEDGER_HOLDS.labels(result="placed").inc()
        return hold

    async def _refuse(self, account: Account, request: HoldRequest, now: datetime) -> None:
        """Raise InsufficientBalance; return only if the balance rose meanwhile.

        That a message could not be paid while nothing was held is remembered: the rest of the balance
        is as good as nothing, and the next opening may grant anew.
        """
        if not account.holds and account.refused_at is None:
            result = await self._accounts.update_one(
                {"_id": account.user_id, "held": 0, "available": {"$lt": request.tokens_min}},
                {"$set": {"refused_at": now}},
            )
            if result.matched_count == 0:
                return
        LEDGER_HOLDS.labels(result="refused").inc()
        raise _insufficient(account, request, self._terms, now)

    async def release_hold(self, *, run_id: str, user_id: str) -> Account:
        """Give a hold back. A run without one is closed all the same: its hold may still be on its way.

        Raises UnknownAccount.
        """

        async def change() -> Account:
            account = await self.get(user_id)
            if account.hold_of(run_id) is None and run_id in account.closed_run_ids:
                return account
            after = without_hold(account, run_id)
            result = await self._accounts.update_one(*update_of(account, after))
            if result.matched_count == 0:
                raise Outdated
            return after

        return await until_current(change)

    async def extend_hold(self, hold: Hold, *, user_id: str, expires_at: datetime) -> None:
        """Let a hold live on; does nothing if it is gone or was extended already."""
        same_hold = {"$elemMatch": {"run_id": hold.run_id, "expires_at": hold.expires_at}}
        condition = {"_id": user_id, "holds": same_hold}
        update = {"$set": {"holds.$.expires_at": expires_at}}
        await until_current(lambda: self._accounts.update_one(condition, update))

    async def adjust(self, adjustment: Adjustment) -> Account:
        """Set balance or grant for an operator, once per request id.

        Raises UnknownAccount, Conflict (not the expected balance), IdReused, Malformed.
        """
        check_adjustment(adjustment)

        async def change() -> Account:
            row = await self._rows.find_one({"_id": adjustment_id(adjustment.request_id)})
            account = await self.get(adjustment.user_id)
            if row is not None:
                asked = (row["user_id"], row["actor"], row["reason"], row["requested"])
                if asked != (account.user_id, adjustment.actor, adjustment.reason, requested(adjustment)):
                    raise IdReused
                return account
            posting = adjust(account, adjustment, at=self._clock.now())
            await self._journal.commit([posting])
            return posting.after

        return await until_current(change)

    async def _seen(self, account: Account, profile: Profile, now: datetime) -> Account:
        """Note a changed profile at once, and that the user was here once a minute."""
        if account.profile == profile and now - account.last_active_at < _SEEN_EVERY:
            return account
        fields = {**profile_fields(profile), "last_active_at": now}
        await self._accounts.update_one({"_id": account.user_id}, {"$set": fields})
        return replace(account, profile=profile, last_active_at=now)


def _insufficient(account: Account, request: HoldRequest, terms: Terms, now: datetime) -> InsufficientBalance:
    grant_at = next_grant_at(account, terms, now=now)
    needed, available = request.tokens_min, max(account.available, 0)
    detail = f"This message needs about {needed:,} tokens and {available:,} are available."
    retry_after_s = None
    if account.holds:
        detail += " Answers that are being written hold some; what they do not use comes back."
    elif grant_at is not None:
        retry_after_s = max(1, int((grant_at - now).total_seconds()))
        detail += f" {account.token_grant:,} more can be granted" + (
            f" from {grant_at:%Y-%m-%d %H:%M} UTC on."
            if grant_at > now
            else " when the chat is opened again."
        )
    return InsufficientBalance(
        detail,
        retry_after_s=retry_after_s,
        needed=needed,
        available=available,
        next_grant_at=rfc3339(grant_at) if grant_at else None,
    )
