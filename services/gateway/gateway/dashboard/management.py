"""RabbitMQ's management API: what only the broker itself knows of its queues."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

import httpx

from common.clock import Clock
from common.errors import Unavailable

_TIMEOUT_S = 5.0
_COLUMNS = (
    "name",
    "messages_ready",
    "messages_unacknowledged",
    "consumers",
    "message_stats.publish_details.rate",
    "message_stats.ack_details.rate",
    "message_stats.redeliver_details.rate",
)
HISTORY_S = 3_600
"""As far back the broker remembers how full a queue was."""

_STEP_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """Messages that wait, that are being worked on, and per second: in, done, delivered again."""

    ready: int
    unacked: int
    consumers: int
    published_per_s: float
    acked_per_s: float
    redelivered_per_s: float


@dataclass(frozen=True, slots=True)
class Age:
    """With `is_at_least`, it is older than the broker remembers."""

    seconds: float
    is_at_least: bool = False


class Management:
    """Asks for the virtual host that `amqp_url` names."""

    def __init__(self, http: httpx.AsyncClient, *, amqp_url: str, clock: Clock) -> None:
        self._vhost = quote(unquote(urlsplit(amqp_url).path[1:]) or "/", safe="")
        self._clock = clock
        self._http = http

    async def queues(self) -> dict[str, QueueState]:
        """Return all queues by name. Raises Unavailable."""
        found = await self._get(f"/api/queues/{self._vhost}", {"columns": ",".join(_COLUMNS)})
        return {queue["name"]: _state(queue) for queue in found}

    async def oldest_age(self, queue: str) -> Age | None:
        """Estimate how long the oldest message has been there, to half a minute; of an hour the broker knows.

        The broker does not know it of a quorum queue; but it remembers how full the queue was and how much
        was done since, and the oldest is done first. Raises Unavailable.
        """
        ages = {"lengths_age": HISTORY_S, "lengths_incr": _STEP_S}
        ages |= {"msg_rates_age": HISTORY_S, "msg_rates_incr": _STEP_S}
        columns = "messages_details.samples,message_stats.ack_details.samples"
        path = f"/api/queues/{self._vhost}/{quote(queue, safe='')}"
        found = _mapping(await self._get(path, {**ages, "columns": columns}))
        lengths = _samples(found, "messages_details")
        acked = _samples(_mapping(found.get("message_stats")), "ack_details")
        return oldest_age(lengths, acked, now=self._clock.now())

    async def _get(self, path: str, query: Mapping[str, str | int]) -> Any:
        try:
            response = await self._http.get(path, params=query)
            response.raise_for_status()
            return response.json()
        except (httpx.HTTPError, ValueError) as error:
            # Without the error's text: it may quote the address, which carries the password.
            raise Unavailable("RabbitMQ's management API does not answer") from error


@asynccontextmanager
async def open_management(url: str, *, amqp_url: str, clock: Clock) -> AsyncGenerator[Management | None]:
    """Speak to the API at `url`, which carries the credentials; yields None without one."""
    if not url:
        yield None
        return
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as http:
        yield Management(http, amqp_url=amqp_url, clock=clock)


Samples = Sequence[tuple[float, int]]
"""Time in seconds and a number, the newest first."""


def oldest_age(lengths: Samples, acked: Samples, *, now: datetime) -> Age | None:
    """Find since when there has always been a message that is there still. None: there is none."""
    done = dict(acked)
    done_by_now = acked[0][1] if acked else 0
    oldest: float | None = None
    began = False
    for at, length in lengths:
        done_since = done_by_now - done.get(at, 0)
        if length <= done_since:
            began = True
            break
        oldest = max(0.0, now.timestamp() - at)
    if oldest is None:
        return None
    # A queue that is younger than the broker's memory has fewer samples.
    return Age(oldest, is_at_least=not began and oldest >= HISTORY_S - 2 * _STEP_S)


def _state(queue: Mapping[str, Any]) -> QueueState:
    stats = _mapping(queue.get("message_stats"))

    def rate(name: str) -> float:
        return round(float(_mapping(stats.get(name)).get("rate", 0.0)), 2)

    return QueueState(
        ready=queue.get("messages_ready", 0),
        unacked=queue.get("messages_unacknowledged", 0),
        consumers=queue.get("consumers", 0),
        published_per_s=rate("publish_details"),
        acked_per_s=rate("ack_details"),
        redelivered_per_s=rate("redeliver_details"),
    )


def _samples(found: Mapping[str, Any], name: str) -> Samples:
    samples: list[Mapping[str, int]] = _mapping(found.get(name)).get("samples", [])
    return [(sample["timestamp"] / 1000, sample["sample"]) for sample in samples]


def _mapping(value: Any) -> Mapping[str, Any]:
    """What has no figures yet is an empty list."""
    return cast(Mapping[str, Any], value) if isinstance(value, dict) else {}
