"""The one way to Pipedrive's API: within half of its burst limit and our share of the day, or not at all."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

import httpx
import orjson

from common.clock import Clock, rfc3339
from common.errors import Unavailable
from common.log import get_logger
from common.metrics import CRM_CALLS, CRM_PAUSED, CRM_TOKENS_SPENT
from pipedrive_sync.domain.answers import Answer, number_in, read_answer
from pipedrive_sync.domain.budget import (
    BurstWindow,
    DailyBudget,
    Purpose,
    day_of,
    leaves_too_little,
    next_midnight,
)
from pipedrive_sync.store.cursors import Cursors

log = get_logger()

BLOCKED_FOR = timedelta(minutes=30)
UNAUTHORIZED_FOR = timedelta(hours=1)

_ATTEMPTS_MAX = 3
_BACKOFF_S = 1.0
_BACKOFF_MAX_S = 60.0
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CUT = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
_PAUSE = "pause"

Sleep = Callable[[float], Awaitable[None]]


class PipedriveAway(Unavailable):
    """Pipedrive cannot be asked now: it does not answer, or we must not ask."""

    code = "pipedrive_away"
    title = "Pipedrive cannot be asked right now"


class NotAsked(PipedriveAway):
    """No call got there, and none would have, whatever it was about. It costs nothing to try again."""


class ConnectionCut(PipedriveAway):
    """The connection ended before the answer, as one does that was idle for just as long as servers wait."""


class BudgetSpent(NotAsked):
    """Our share of the day's budget does not pay for this call."""

    code = "pipedrive_budget_spent"
    title = "The share of Pipedrive's daily budget is used up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call with what it costs. `path` begins with the version: `v2/persons`."""

    method: str
    path: str
    cost: int
    purpose: Purpose
    params: Mapping[str, str | int] | None = None
    json: Any = None


class Gate:
    """Sends calls one by one as the limits allow. `sleep` waits; tests pass time instead."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        cursors: Cursors,
        clock: Clock,
        *,
        budget: DailyBudget,
        burst: int,
        zone: tzinfo,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._http = http
        self._cursors = cursors
        self._clock = clock
        self._budget = budget
        self._window = BurstWindow(burst)
        self._zone = zone
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._paused_until: datetime | None = None
        self._paused_why = ""
        self._held_until_s = 0.0
        """Too fast: every call waits until then."""
        self._failures = 0
        self._closed_until_s = 0.0
        """Pipedrive failed, so many times in a row: no call is made until then, and none is paid for."""
        self._company_left: tuple[str, int, int | None] | None = None
        """The day, how many tokens the company had left when we were last told, and of how many."""

    async def load(self) -> None:
        """Take up a pause that began before this process."""
        kept = await self._cursors.read(_PAUSE)
        self._paused_until, self._paused_why = kept.get("until"), kept.get("why", "")
        CRM_PAUSED.set(self.pause is not None)

    @property
    def pause(self) -> str | None:
        """Say why and until when nothing is asked; None when all is well."""
        if self._paused_until is None or self._clock.now() >= self._paused_until:
            return None
        return f"{self._paused_why}; nothing is asked until {rfc3339(self._paused_until)}"

    async def spent_today(self) -> int:
        return await self._cursors.spent(day_of(self._clock.now(), self._zone))

    async def send(self, call: Call) -> Answer:
        """Send a call and return its answer: `ok`, `not_found`, `forbidden` or `refused`.

        Raises PipedriveAway for everything else. All our calls but POST may be repeated: what is written is
        absolute. Too fast is waited out, a few times; then it can only be the day's budget.
        """
        for _ in range(_ATTEMPTS_MAX):
            answer = await self._attempt_anew(call)
            if answer.kind != "burst":
                return await self._judged(call, answer)
            wait_s = answer.wait_s * random.uniform(1.0, 1.25)  # noqa: S311 - spreads retries
            self._held_until_s = max(self._held_until_s, self._clock.monotonic_s() + wait_s)
        await self._stop("429 again and again, as when the day's budget is used up", self._midnight())
        raise PipedriveAway(self.pause)

    async def _attempt_anew(self, call: Call) -> Answer:
        """Make an attempt, and another one if its connection was cut: once says nothing of Pipedrive."""
        is_last = call.method == "POST"
        while True:
            try:
                return await self._attempt(call)
            except ConnectionCut:
                if is_last:
                    self._failed()
                    raise
                is_last = True

    async def _attempt(self, call: Call) -> Answer:
        async with self._turn:
            self._refuse_if_closed(call)
            while (wait_s := self._wait_s()) > 0:
                await self._sleep(wait_s)
            day = await self._admit(call)
            self._window.sent(self._clock.monotonic_s())
        try:
            response = await self._http.request(
                call.method, call.path, params=call.params, json=call.json, follow_redirects=False
            )
        except httpx.HTTPError as error:
            CRM_CALLS.labels(answer="none").inc()
            says = f"Pipedrive does not answer ({type(error).__name__})"
            if isinstance(error, _CUT):
                raise ConnectionCut(says) from None
            self._failed()
            if isinstance(error, _NEVER_SENT):
                await self._cursors.refund(day, call.cost)
                raise NotAsked(says) from None
            raise PipedriveAway(says) from None
        self._learn(response.headers)
        answer = read_answer(response.status_code, response.headers, _json(response))
        CRM_CALLS.labels(answer=answer.kind).inc()
        if answer.kind == "broken":
            self._failed()
        else:
            self._failures = 0
        return answer

    def _wait_s(self) -> float:
        now_s = self._clock.monotonic_s()
        return max(self._window.wait_s(now_s), self._held_until_s - now_s)

    def _refuse_if_closed(self, call: Call) -> None:
        pause = self.pause
        if pause is not None and call.purpose != "probe":
            raise NotAsked(pause)
        closed_s = self._closed_until_s - self._clock.monotonic_s()
        if closed_s > 0:
            raise NotAsked(f"Pipedrive failed; it is asked again in {closed_s:.0f} s")

    def _failed(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._closed_until_s:
            # Calls that were under way together failed together.
            return
        self._closed_until_s = now_s + min(_BACKOFF_MAX_S, _BACKOFF_S * 2**self._failures)
        self._failures = min(self._failures + 1, 10)

    async def _admit(self, call: Call) -> str:
        """Pay for a call; return the day that it is of."""
        self._refuse_if_closed(call)
        if self.pause is None and self._paused_until is not None:
            await self._go_on()
        day = day_of(self._clock.now(), self._zone)
        told_on, remaining, limit = self._company_left or (None, None, None)
        if told_on == day and leaves_too_little(call.purpose, remaining=remaining, limit=limit):
            raise BudgetSpent("Most of the company's daily budget is used up, by all its tools together")
        allowance = self._budget.allowance(call.purpose)
        if not await self._cursors.spend(day, call.cost, allowance=allowance):
            raise BudgetSpent
        CRM_TOKENS_SPENT.labels(purpose=call.purpose).inc(call.cost)
        return day

    async def _judged(self, call: Call, answer: Answer) -> Answer:
        now = self._clock.now()
        match answer.kind:
            case "daily":
                await self._stop("the company's daily budget is used up", self._midnight())
            case "blocked":
                await self._stop("Pipedrive blocks us (403 with a page)", now + BLOCKED_FOR)
            case "unauthorized":
                await self._stop("PIPEDRIVE_TOKEN is refused", now + UNAUTHORIZED_FOR)
            case "broken":
                raise PipedriveAway(f"Pipedrive failed: {answer.says}")
            case _:
                if call.purpose == "probe":
                    await self._go_on()
                return answer
        raise PipedriveAway(self.pause)

    async def _stop(self, why: str, until: datetime) -> None:
        self._paused_until, self._paused_why = until, why
        CRM_PAUSED.set(1)
        log.error("pipedrive_paused", why=why, until=rfc3339(until))
        await self._cursors.write(_PAUSE, {"until": until, "why": why})

    async def _go_on(self) -> None:
        CRM_PAUSED.set(0)
        if self._paused_until is not None:
            self._paused_until = None
            await self._cursors.write(_PAUSE, {"until": None, "why": ""})

    def _learn(self, headers: Mapping[str, str]) -> None:
        burst = number_in(headers, "x-ratelimit-limit")
        if burst:
            self._window.learn(burst)
        remaining = number_in(headers, "x-daily-ratelimit-token-remaining")
        limit = number_in(headers, "x-daily-ratelimit-token-limit")
        if remaining is not None:
            self._company_left = (day_of(self._clock.now(), self._zone), remaining, limit)

    def _midnight(self) -> datetime:
        return next_midnight(self._clock.now(), self._zone)


def _json(response: httpx.Response) -> Any:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
