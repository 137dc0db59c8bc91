"""`integration.notification_received.v1`: reads the row and does what it says, once."""

from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.amqp.delivery import DeadLetter, Delivery, Done, Outcome
from common.clock import Clock
from common.events.integration import NotificationReceivedV1
from common.integration_inbox import InboxRow
from common.log import get_logger
from common.metrics import CRM_NOTIFICATION_LAG_S, CRM_NOTIFICATIONS
from pipedrive_sync.domain.notice import (
    FiguresTouched,
    Ignored,
    Notice,
    PersonGone,
    Quota,
    QuotaNotice,
    Rejected,
)
from pipedrive_sync.domain.tokens_call import read_tokens_call
from pipedrive_sync.domain.webhook import read_webhook
from pipedrive_sync.handlers.people_gone import PeopleGone
from pipedrive_sync.handlers.set_quotas import SetQuotas
from pipedrive_sync.pipedrive.known import Known
from pipedrive_sync.store.inbox import Result
from pipedrive_sync.store.stores import Stores

log = get_logger()


class Resolution(BaseModel):
    """What an operator decided about a waiting row: `user_id` and `quota` replace what it says.

    `version` is the event of the row that the operator saw. None: it is about whatever waits.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    version: str | None = None
    action: Literal["apply", "dismiss"]
    user_id: str | None = None
    quota: int | None = Field(default=None, ge=0)


class HandleNotification:
    """A row that is decided is done: repeats of the message, and of the notification itself, end here."""

    def __init__(
        self,
        stores: Stores,
        *,
        quotas: SetQuotas,
        people_gone: PeopleGone,
        known: Known,
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._quotas = quotas
        self._people_gone = people_gone
        self._known = known
        self._clock = clock

    async def __call__(self, delivery: Delivery) -> Outcome:
        assert isinstance(delivery.message, NotificationReceivedV1)
        row = await self._stores.inbox.get(delivery.message.event_id)
        if row is None:
            return DeadLetter("there is no such row in the inbox")
        await self.handle(row)
        return Done()

    @property
    def is_too_early(self) -> bool:
        """Tell whether webhooks cannot be read yet, since the quota's field is not known."""
        return self._known.is_incomplete

    async def handle(self, row: InboxRow) -> Result | None:
        """Decide about a row; None when it was decided before, or cannot be read yet."""
        if await self._stores.inbox.is_decided(row.id):
            return None
        if row.channel == "webhook" and self._known.is_incomplete:
            await self._known.load()
        if row.channel == "webhook" and self._known.is_incomplete:
            # Whoever sweeps the inbox comes back to it once the field is known.
            log.warning("notification_too_early", id=row.id, why="the quota field is not set up")
            return None
        if row.channel == "resolution":
            result = await self._resolve(row)
        else:
            result = await self._act(self._read(row))
        await self._stores.inbox.decide(row.id, result)
        CRM_NOTIFICATIONS.labels(channel=row.channel, result=result.status).inc()
        log.info("notification_decided", id=row.id, status=result.status, why=result.why)
        return result

    def _read(self, row: InboxRow) -> Notice:
        if row.channel == "tokens":
            return read_tokens_call(row)
        return read_webhook(row, keys=self._known.keys, ourselves=self._known.ourselves)

    async def _act(self, notice: Notice) -> Result:
        match notice:
            case QuotaNotice():
                result = await self._quotas.apply(notice)
                lag = self._clock.now() - notice.version.at
                CRM_NOTIFICATION_LAG_S.observe(max(0.0, lag.total_seconds()))
                return result
            case PersonGone():
                return await self._people_gone.handle(notice)
            case FiguresTouched(person_id=person_id):
                person = await self._stores.people.find(person_id)
                if person is not None and person.user_id is not None:
                    await self._stores.outbox.write_again(person.user_id)
                return Result(status="ignored", why="our figures were changed there and are written again")
            case Ignored(why=why):
                return Result(status="ignored", why=why)
            case Rejected(why=why):
                return Result(status="rejected", why=why)

    async def _resolve(self, row: InboxRow) -> Result:
        try:
            resolution = Resolution.model_validate(orjson.loads(row.body))
        except (ValidationError, orjson.JSONDecodeError):
            return Result(status="rejected", why="not a resolution")
        waits = await self._stores.waiting.get(resolution.key)
        if waits is None:
            return Result(status="ignored", why="nothing waits any more")
        if resolution.version not in {None, waits.notice.version.event}:
            return Result(status="stale", why="something newer waits")
        if resolution.action == "dismiss":
            await self._stores.waiting.remove(waits)
            return Result(status="kept", why=f"dismissed by {row.actor}")
        notice = waits.notice.believed(source="operator", actor=row.actor)
        changes: dict[str, object] = {"reason": f"{notice.reason}, resolved by an operator"}
        if resolution.user_id is not None:
            changes["subject"] = notice.subject.model_copy(update={"user_ref": resolution.user_id})
        if resolution.quota is not None:
            changes["wanted"] = Quota(tokens=resolution.quota)
        result = await self._quotas.apply(notice.model_copy(update=changes))
        if result.status != "waiting" and notice.inbox_id is not None:
            await self._stores.inbox.decide(notice.inbox_id, result)
        return result
