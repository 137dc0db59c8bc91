"""Webhooks on their way.

A failed try is repeated after 3, 30 and 150 s; ten failed first tries are a ban for half an hour, in which
all is lost; three days without a success delete the webhook.
"""

import asyncio
import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from common.clock import Clock
from simulators.pipedrive.clock import event_time
from simulators.pipedrive.company import Company
from simulators.pipedrive.faults import Faults
from simulators.pipedrive.records import Change
from simulators.pipedrive.webhook_shapes import webhook_body

RETRY_AFTER_S = (3, 30, 150)
BAN_AT_FAILURES = 10
BAN = timedelta(minutes=30)
DELETED_AFTER = timedelta(days=3)
WEBHOOKS_PER_USER_MAX = 40
SENDERS = 100
"""Posts under way at the same time."""

ACTIONS = frozenset({"create", "change", "delete", "*"})
OBJECTS = frozenset(
    {
        "activity",
        "deal",
        "lead",
        "note",
        "organization",
        "person",
        "pipeline",
        "product",
        "stage",
        "user",
        "*",
    }
)


@dataclass(slots=True, kw_only=True)
class Webhook:
    """A subscription, with how well its deliveries go."""

    id: int
    owner_id: int
    url: str
    action: str
    object: str
    name: str
    version: str
    user: str | None
    password: str | None
    added_at: datetime
    first_failures: int = 0
    banned_until: datetime | None = None
    succeeded_at: datetime | None = None
    delivered_at: datetime | None = None
    last_status: int | None = None
    removed_at: datetime | None = None
    remove_reason: str | None = None

    def wants(self, change: Change) -> bool:
        return (
            self.removed_at is None
            and self.object in {change.entity, "*"}
            and self.action in {change.action, "*"}
        )

    def is_banned(self, now: datetime) -> bool:
        return self.banned_until is not None and now < self.banned_until

    def as_api(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "company_id": None,
            "owner_id": self.owner_id,
            "user_id": self.owner_id,
            "event_action": self.action,
            "event_object": self.object,
            "subscription_url": self.url,
            "version": self.version,
            "is_active": int(self.removed_at is None),
            "add_time": event_time(self.added_at),
            "remove_time": self.removed_at and event_time(self.removed_at),
            "remove_reason": self.remove_reason,
            "type": "general",
            "last_delivery_time": self.delivered_at and event_time(self.delivered_at),
            "last_http_status": self.last_status,
            "http_auth_user": self.user,
            "http_auth_password": self.password,
            "name": self.name,
        }


@dataclass(order=True, slots=True)
class Post:
    """One try to deliver one change to one webhook."""

    due_at: datetime
    number: int
    webhook: Webhook = field(compare=False)
    change: Change = field(compare=False)
    attempt: int = field(compare=False)
    body: dict[str, Any] = field(compare=False)


@dataclass(slots=True)
class Counts:
    """What became of the posts."""

    delivered: int = 0
    first_failures: int = 0
    given_up: int = 0
    lost_in_ban: int = 0
    slowest_s: float = 0.0


class Deliveries:
    """All subscriptions and what is due to them. `deliver_due` sends; nothing is sent by itself."""

    def __init__(
        self,
        company: Company,
        clock: Clock,
        faults: Faults,
        *,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.webhooks: dict[int, Webhook] = {}
        self.counts = Counts()
        self.sent: list[dict[str, Any]] = []
        """Every body in the order of sending, retries too."""
        self._company = company
        self._clock = clock
        self._faults = faults
        self._due: list[Post] = []
        self._posts = 0
        self._under_way = 0
        self._last_id = 4_710_000
        self._senders = asyncio.Semaphore(SENDERS)
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=timeout_s,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )

    @property
    def next_due_at(self) -> datetime | None:
        return self._due[0].due_at if self._due else None

    @property
    def waiting(self) -> int:
        """Count the posts that are still to be made or under way."""
        return len(self._due) + self._under_way

    def subscribe(self, owner_id: int, **fields: Any) -> Webhook:
        self._last_id += 1
        webhook = Webhook(id=self._last_id, owner_id=owner_id, added_at=self._clock.now(), **fields)
        self.webhooks[webhook.id] = webhook
        return webhook

    def restore(self, webhook: Webhook) -> None:
        """Take up a subscription of an earlier time."""
        self.webhooks[webhook.id] = webhook
        self._last_id = max(self._last_id, webhook.id)

    def enqueue(self, change: Change) -> None:
        """Post a change to whoever wants it; a banned webhook loses it for good."""
        now = self._clock.now()
        for webhook in self.webhooks.values():
            if not webhook.wants(change):
                continue
            if webhook.is_banned(now):
                self.counts.lost_in_ban += 1
                continue
            delay = timedelta(seconds=self._faults.delivery_delay_s())
            for copy in range(self._faults.copies):
                self._push(now + delay, webhook, change, attempt=1 + copy)

    async def deliver_due(self) -> int:
        """Send all that is due now, at once and in any order that the network likes; return how many."""
        now = self._clock.now()
        posts: list[Post] = []
        while self._due and self._due[0].due_at <= now:
            posts.append(heapq.heappop(self._due))
        self._faults.shuffle(posts)
        self._under_way += len(posts)
        try:
            await asyncio.gather(*(self._deliver(post) for post in posts))
        finally:
            self._under_way -= len(posts)
        self._remove_the_dead(now)
        return len(posts)

    async def close(self) -> None:
        await self._http.aclose()

    def _push(self, due_at: datetime, webhook: Webhook, change: Change, *, attempt: int) -> None:
        self._posts += 1
        body = webhook_body(
            change,
            self._company.fields,
            company_id=self._company.id,
            webhook_id=webhook.id,
            owner_id=webhook.owner_id,
            attempt=attempt,
            timestamps=self._faults.timestamps,
            cleared=self._faults.cleared,
        )
        heapq.heappush(self._due, Post(due_at, self._posts, webhook, change, attempt, body))

    async def _deliver(self, post: Post) -> None:
        webhook = post.webhook
        if webhook.removed_at is not None:
            return
        self.sent.append(post.body)
        async with self._senders:
            status = await self._send(webhook, post.body)
        now = self._clock.now()
        webhook.delivered_at, webhook.last_status = now, status or None
        if 200 <= status < 300:
            self.counts.delivered += 1
            webhook.succeeded_at = now
            return
        self._failed(post, now)

    async def _send(self, webhook: Webhook, body: dict[str, Any]) -> int:
        """Post once; return the status, 0 for no answer in time."""
        auth = httpx.BasicAuth(webhook.user, webhook.password or "") if webhook.user else httpx.Auth()
        started_s = asyncio.get_running_loop().time()
        try:
            answer = await self._http.post(webhook.url, json=body, auth=auth)
        except httpx.HTTPError:
            return 0
        finally:
            took_s = asyncio.get_running_loop().time() - started_s
            self.counts.slowest_s = max(self.counts.slowest_s, took_s)
        return answer.status_code

    def _failed(self, post: Post, now: datetime) -> None:
        webhook = post.webhook
        if post.attempt == 1:
            self.counts.first_failures += 1
            webhook.first_failures += 1
            if webhook.first_failures >= BAN_AT_FAILURES:
                webhook.banned_until, webhook.first_failures = now + BAN, 0
        if post.attempt > len(RETRY_AFTER_S):
            self.counts.given_up += 1
            return
        delay = timedelta(seconds=RETRY_AFTER_S[post.attempt - 1])
        self._push(now + delay, webhook, post.change, attempt=post.attempt + 1)

    def _remove_the_dead(self, now: datetime) -> None:
        for webhook in self.webhooks.values():
            since = webhook.succeeded_at or webhook.added_at
            tried_in_vain = webhook.delivered_at is not None and webhook.delivered_at > since
            if webhook.removed_at is None and tried_in_vain and now - since >= DELETED_AFTER:
                webhook.removed_at, webhook.remove_reason = now, "3 days without a successful delivery"
