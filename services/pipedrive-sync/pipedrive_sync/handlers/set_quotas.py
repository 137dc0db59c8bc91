"""Applies what is said about quotas: decides here, and has the ledger do it."""

from dataclasses import replace
from datetime import timedelta
from typing import Protocol, TypeVar

from pydantic import BaseModel

from common.clock import Clock
from common.events.envelope import Command
from common.events.ledger import QuotaReply, SetQuotaV1
from common.ids import derived_id
from common.log import get_logger
from pipedrive_sync.domain.decide import Apply, Confirm, Keep, Policy, Stale, Wait, decide, tokens_of
from pipedrive_sync.domain.matching import Links, Matched, Unmatched, match
from pipedrive_sync.domain.notice import Cleared, Quota, QuotaNotice, Subject, Unusable
from pipedrive_sync.domain.record import SETTLED_AFTER
from pipedrive_sync.pipedrive.client import PersonHidden, PipedriveRefused
from pipedrive_sync.pipedrive.gate import PipedriveAway
from pipedrive_sync.pipedrive.quota_field import QuotaField
from pipedrive_sync.pipedrive.reader import PersonReader
from pipedrive_sync.store.accounts import AccountRow
from pipedrive_sync.store.inbox import Result
from pipedrive_sync.store.people import Person
from pipedrive_sync.store.stores import Stores

log = get_logger()

_CONFIRM_AFTER = SETTLED_AFTER + timedelta(seconds=1)

R = TypeVar("R", bound=BaseModel)


class Ledger(Protocol):
    """Request and reply; `common.amqp.rpc.RpcClient` is one."""

    async def call(self, command: Command, reply: type[R], *, deadline_s: float = 5.0) -> R: ...


class SetQuotas:
    """`reader` and `field` are None without a token for Pipedrive's API; then nothing can be read there."""

    def __init__(
        self,
        stores: Stores,
        *,
        ledger: Ledger,
        reader: PersonReader | None,
        field: QuotaField | None,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._stores = stores
        self._ledger = ledger
        self._reader = reader
        self._field = field
        self._clock = clock
        self._policy = policy

    async def apply(self, notice: QuotaNotice) -> Result:
        """Bring a quota into force, or say why not. Any number of repeats, in any order, ends the same.

        Raises Unavailable when the ledger or the database is away; then nothing is decided.
        """
        notice = await self._with_person(notice)
        person = await self._person(notice)
        if person is not None and _is_late(notice, person):
            return await self._apply_late(notice, person)
        result = await self._apply_in_time(notice, person)
        if result.status == "waiting" and (person := await self._person(notice)) and _is_late(notice, person):
            # Deleted meanwhile, so that nobody else takes it out of what waits.
            await self._stores.waiting.settled(notice.subject.key, notice.version)
            return await self._apply_late(notice, person)
        return result

    async def _person(self, notice: QuotaNotice) -> Person | None:
        person_id = notice.subject.person_id
        return await self._stores.people.find(person_id) if person_id is not None else None

    async def _apply_in_time(self, notice: QuotaNotice, person: Person | None) -> Result:
        matched = await self._match(notice.subject, person)
        if isinstance(matched, Matched):
            return await self._decide(notice, matched.user_id, person)
        if isinstance(notice.wanted, Cleared):
            return await self._emptied_of_nobody(notice, matched)
        return await self._wait(notice, matched)

    async def _emptied_of_nobody(self, notice: QuotaNotice, why: Unmatched) -> Result:
        """Replace what waits of somebody unknown by what an emptied quota means, if it means one.

        Where Pipedrive can be asked, what waits is read there before it counts.
        """
        tokens = tokens_of(notice.wanted, self._policy)
        waits = await self._stores.waiting.get(notice.subject.key)
        if self._policy.can_ask or tokens is None or waits is None:
            return Result(status="ignored", why="an empty quota of nobody that we know")
        return await self._wait(notice.model_copy(update={"wanted": Quota(tokens=tokens)}), why)

    async def _apply_late(self, notice: QuotaNotice, person: Person) -> Result:
        """Apply what was said of a person who is deleted by now, to whom it was, but link nobody.

        Had it come in time, its quota would have stayed. A person who was merged is read as the one that is
        left, and one whose deletion suspends has a quota of 0.
        """
        matched = await self._match(notice.subject, replace(person, user_id=person.left_user_id))
        is_over = person.merged_into is not None or self._policy.on_deleted == "suspend"
        if is_over or isinstance(notice.wanted, Unusable) or not isinstance(matched, Matched):
            await self._stores.waiting.settled(notice.subject.key, notice.version)
            return Result(status="stale", why="the person was deleted since")
        subject = notice.subject.model_copy(update={"person_id": None, "user_ref": matched.user_id})
        late = notice.model_copy(update={"subject": subject})
        in_force = await self._stores.accounts.in_force(matched.user_id)
        decision = decide(late, in_force, self._policy)
        changes = isinstance(decision, Apply) and decision.tokens != in_force.quota
        if changes and self._policy.can_ask and not notice.is_believed:
            # It cannot be read any more, and nobody signs a webhook.
            return await self._wait(notice, "not_in_pipedrive")
        result = await self._decide(late, matched.user_id, None)
        await self._stores.waiting.settled(notice.subject.key, notice.version)
        return result

    async def _decide(self, notice: QuotaNotice, user_id: str, person: Person | None) -> Result:
        in_force = await self._stores.accounts.in_force(user_id)
        match decide(notice, in_force, self._policy):
            case Confirm():
                return await self._confirm(notice)
            case Wait(why=why):
                return await self._wait(notice, why)
            case Stale(differs=differs):
                await self._stores.waiting.settled(notice.subject.key, notice.version)
                if differs:
                    await self._read_later(notice)
                return Result(status="stale", why="something newer is in force", user_id=user_id)
            case Keep(why=why):
                return Result(status="kept", why=why, user_id=user_id, quota=in_force.quota)
            case Apply() if not await self._says_so(notice):
                return Result(status="kept", why="the quota field is no longer in Pipedrive", user_id=user_id)
            case Apply(tokens=tokens):
                return await self._apply(notice, user_id, tokens, person)

    async def _with_person(self, notice: QuotaNotice) -> QuotaNotice:
        """Name the person of a user who is linked, so that what nobody signed is read there too."""
        subject = notice.subject
        if (
            notice.is_believed
            or self._reader is None
            or subject.person_id is not None
            or not subject.user_ref
        ):
            return notice
        person_id = (await self._stores.people.linked([subject.user_ref])).get(subject.user_ref)
        if person_id is None:
            return notice
        return notice.model_copy(update={"subject": subject.model_copy(update={"person_id": person_id})})

    async def _says_so(self, notice: QuotaNotice) -> bool:
        """Tell whether a reading without a quota is of an emptied field, and not of a deleted one."""
        if self._field is None or notice.read_by is None or not isinstance(notice.wanted, Cleared):
            return True
        # The reading was made at most so long after its version.
        return await self._field.was_there(notice.read_by, at=notice.version.at + SETTLED_AFTER)

    async def _match(self, subject: Subject, person: Person | None) -> Matched | Unmatched:
        users: set[str] = set()
        named = subject.user_ref or (person.user_id if person else None)
        if named is None:
            users = await self._stores.accounts.users_by_email(subject.emails)
        links = Links(
            user_of_person=person.user_id if person else None,
            person_of_user=await self._stores.people.linked({named} if named else users),
            users_by_email=users,
        )
        return match(subject, links)

    async def _confirm(self, notice: QuotaNotice) -> Result:
        """Read the person and go on with what is really there, in the name of whoever said it first."""
        assert self._reader is not None
        assert notice.subject.person_id is not None
        if self._field is not None and self._field.known.keys.quota is None:
            # Read without it, everybody would seem to have an emptied quota.
            return await self._wait(notice, "unconfirmed")
        try:
            record = await self._reader.read(notice.subject.person_id)
        except PersonHidden:
            record = None
        except (PipedriveAway, PipedriveRefused) as error:
            log.warning("raise_unconfirmed", person_id=notice.subject.person_id, error=str(error))
            return await self._wait(notice, "unconfirmed")
        if record is None:
            return await self._wait(notice, "not_in_pipedrive")
        reason = f"{notice.reason}, as read there"
        found = record.notice(
            actor=notice.actor, reason=reason, inbox_id=notice.inbox_id, asked_because=notice.version
        )
        if notice.subject.user_ref and found.subject.user_ref is None:
            subject = found.subject.model_copy(update={"user_ref": notice.subject.user_ref})
            found = found.model_copy(update={"subject": subject})
        return await self.apply(found)

    async def _apply(self, notice: QuotaNotice, user_id: str, tokens: int, person: Person | None) -> Result:
        subject = notice.subject
        is_linked = person is not None and person.user_id == user_id
        if subject.person_id is not None and not is_linked:
            if not await self._stores.people.link(subject.person_id, user_id, as_of=notice.version.at):
                return await self._wait(notice, "user_of_another_person")
            if person is not None and person.user_id is not None:
                await self._stores.outbox.remove(person.user_id)
        command = SetQuotaV1(
            request_id=derived_id("q", user_id, notice.version.event, str(tokens)),
            user_id=user_id,
            quota=tokens,
            effective_at=notice.version.at,
            source_event=notice.version.event,
            actor=notice.actor,
            reason=notice.reason if notice.inbox_id is None else f"{notice.reason} ({notice.inbox_id})",
            user_name=subject.name,
            email=subject.emails[0] if subject.emails else None,
        )
        reply = await self._ledger.call(command, QuotaReply)
        # What waits may be from before the user was linked to the person.
        for key in {subject.key, Subject(user_ref=user_id).key}:
            await self._stores.waiting.settled(key, notice.version)
        if not notice.is_believed:
            await self._read_later(notice)
        if subject.person_id is not None:
            await self._show(reply, subject.person_id)
        return Result(
            status=reply.status,
            why=notice.reason,
            user_id=user_id,
            quota=reply.quota,
            token_balance=reply.account.token_balance,
        )

    async def _wait(self, notice: QuotaNotice, why: str) -> Result:
        if not await self._stores.waiting.put(notice, why):
            return Result(status="stale", why="something newer waits")
        log.warning("notification_waits", subject=notice.subject.key, why=why)
        return Result(status="waiting", why=why)

    async def _read_later(self, notice: QuotaNotice) -> None:
        """Look at the truth a little later: webhooks hint, and may be out of order or not even genuine."""
        if self._reader is not None and notice.subject.person_id is not None:
            await self._stores.people.confirm_later(
                notice.subject.person_id, self._clock.now() + _CONFIRM_AFTER
            )

    async def _show(self, reply: QuotaReply, person_id: int) -> None:
        account = AccountRow(
            user_id=reply.account.user_id,
            balance=reply.account.token_balance,
            sequence=reply.account.sequence,
            quota=reply.quota,
        )
        await self._stores.outbox.changed([account], {account.user_id: person_id})


def _is_late(notice: QuotaNotice, person: Person) -> bool:
    """Tell whether the person was deleted, or merged, after what is said."""
    return person.gone_at is not None and notice.version.at <= person.gone_at
