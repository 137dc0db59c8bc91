"""People that were deleted or merged in Pipedrive. Users are never deleted by that."""

from common.clock import Clock
from common.log import get_logger
from pipedrive_sync.domain.decide import OnDeleted
from pipedrive_sync.domain.notice import PersonGone, Quota, QuotaNotice, Subject
from pipedrive_sync.handlers.set_quotas import SetQuotas
from pipedrive_sync.store.inbox import Result
from pipedrive_sync.store.people import Person
from pipedrive_sync.store.stores import Stores

log = get_logger()


class PeopleGone:
    def __init__(
        self,
        stores: Stores,
        *,
        quotas: SetQuotas,
        clock: Clock,
        on_deleted: OnDeleted,
    ) -> None:
        self._stores = stores
        self._quotas = quotas
        self._clock = clock
        self._on_deleted: OnDeleted = on_deleted

    async def handle(self, notice: PersonGone) -> Result:
        known = await self._stores.people.find(notice.person_id)
        person = known or Person(person_id=notice.person_id, user_id=None)
        user_id = person.user_id
        if user_id is not None and notice.into is None and self._on_deleted == "suspend":
            await self._suspend(notice, user_id)
        await self._stores.people.gone(person, at=notice.version.at, into=notice.into)
        if person.gone_at is None or notice.into is not None:
            # What waits of the person is of no more use to anybody; what came late, after this, is.
            await self._stores.waiting.settled(Subject(person_id=notice.person_id).key, notice.last_word)
        if user_id is None:
            return await self._nobody(notice)
        if notice.into is None:
            await self._stores.outbox.remove(user_id)
            log.warning("person_deleted", person_id=notice.person_id, user_id=user_id)
            return Result(status="kept", why=f"the person was deleted: {self._on_deleted}", user_id=user_id)
        return await self._merge(notice.into, user_id)

    async def _nobody(self, notice: PersonGone) -> Result:
        if notice.into is not None:
            await self._stores.people.confirm_later(notice.into, self._clock.now())
        return Result(status="ignored", why="a person that is nobody's")

    async def _merge(self, into: int, user_id: str) -> Result:
        """Hand the user over to the person that is left, unless that one has a user of its own."""
        winner = await self._stores.people.find(into)
        if winner is not None and winner.user_id not in {None, user_id}:
            await self._stores.outbox.remove(user_id)
            log.warning("merged_people_are_two_users", person_id=into, user_id=user_id)
            return Result(
                status="kept",
                why=f"merged into person {into}, which is user {winner.user_id}: {user_id} is linked no more",
                user_id=user_id,
            )
        await self._stores.people.link(into, user_id)
        await self._stores.people.confirm_later(into, self._clock.now())
        return Result(status="kept", why=f"merged into person {into}", user_id=user_id)

    async def _suspend(self, notice: PersonGone, user_id: str) -> None:
        await self._quotas.apply(
            QuotaNotice(
                subject=Subject(user_ref=user_id),
                wanted=Quota(tokens=0),
                version=notice.last_word,
                source="reading",
                actor=notice.actor,
                reason=f"person {notice.person_id} was deleted in Pipedrive",
            )
        )
