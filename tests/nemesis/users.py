"""Users who chat, stop answers, leave and come back, and send twice; each by a random sequence of its own."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from support.chat_client import ChatClient
from support.patient import GaveUp, Reading, ask_patiently
from support.sim import sim, tokens

_GIVES_UP_S = 120.0
_MARK = re.compile(r"(?<=\d)[a-z]+")
_PAUSE_S = (0.1, 1.0)
_CALM_REFUSALS = frozenset({"thread_busy", "too_many_runs"})
"""What a user may meet whose last send was cut off half way: the old one still counts."""

_TELLS_WHEN_STOPPED = 0.5

_HABITS = {"read": 14, "stop": 2, "leave": 1, "send twice": 2}
_PROVIDER: dict[str, tuple[int, dict[str, Any]]] = {
    "well": (12, {}),
    "cut": (2, {"fault": "cut", "after_deltas": 3}),
    "cut before text": (1, {"fault": "reset"}),
    "busy": (1, {"status": 429, "retry_after_s": 0.2}),
    "failing": (1, {"status": 500}),
    "error": (1, {"fault": "error", "after_deltas": 3}),
}
"""Ways to answer, with their weights. All of them keep the response, so that its figure can be asked for."""


@dataclass(slots=True)
class Seen:
    """What all users have seen together."""

    statuses: Counter[str] = field(default_factory=Counter[str])
    refusals: Counter[str] = field(default_factory=Counter[str])
    connections: int = 0
    wrong: list[str] = field(default_factory=list[str])
    """Answers that were not what they should have been."""
    gave_up: dict[str, str] = field(default_factory=dict[str, str])
    """Users who waited in vain, by the id of the message that they sent."""
    twice: list[list[str]] = field(default_factory=list[list[str]])
    """Runs of one message that was sent twice, where they are not the same."""
    ends: dict[str, tuple[str | None, str]] = field(default_factory=dict[str, tuple[str | None, str]])
    """What was read to the end, by run: its status and its text."""


class User:
    """One user at all gateways."""

    def __init__(self, clients: Sequence[ChatClient], seen: Seen, rng: random.Random) -> None:
        self._clients = clients
        self._seen = seen
        self._rng = rng
        self._thread_id = ""
        self._sent = 0

    @property
    def _message_id(self) -> str:
        return f"{self._clients[0].user_id}-{self._sent}"

    async def chat(self, over: asyncio.Event) -> None:
        """Send one message after the other until it is over."""
        while not over.is_set():
            if not self._thread_id and not await self._get_thread():
                await asyncio.sleep(1)
                continue
            await self._one_message()
            await asyncio.sleep(self._rng.uniform(*_PAUSE_S))

    async def _get_thread(self) -> bool:
        client = self._rng.choice(self._clients)
        try:
            await client.open()
            self._thread_id = await client.new_thread()
        except httpx.HTTPError:
            return False
        return True

    async def _one_message(self) -> None:
        self._sent += 1
        length = self._rng.randrange(20, 150)
        weights = [weight for weight, _ in _PROVIDER.values()]
        _, provider = self._rng.choices(list(_PROVIDER.values()), weights)[0]
        speed = self._rng.choice((20, 40, 60))
        # Whether it tells what a stopped response used is the provider's choice.
        provider = provider | {
            "signed": True,
            "usage_when_cancelled": self._rng.random() < _TELLS_WHEN_STOPPED,
        }
        text = sim(f"m{self._sent}", reply_tokens=length, delta_tokens=2, tokens_per_s=speed, **provider)
        habit = self._rng.choices(list(_HABITS), list(_HABITS.values()))[0]
        try:
            reading = await self._act(habit, text)
        except httpx.HTTPStatusError as refusal:
            await refusal.response.aread()
            self._refused(refusal.response)
        except GaveUp as error:
            self._seen.statuses["gave up"] += 1
            self._seen.gave_up[self._message_id] = str(error)
            self._thread_id = ""
        else:
            self._note(reading, tokens(length))

    async def _act(self, habit: str, text: str) -> Reading:
        order = self._rng.sample(self._clients, k=len(self._clients))
        events = self._rng.randrange(1, 10)
        match habit:
            case "stop":
                asking = [self._ask(order, text, stop_after=events)]
            case "leave":
                asking = [self._ask(order, text, leave_after=events)]
            case "send twice":
                asking = [self._ask(order, text), self._ask(order[::-1], text)]
            case _:
                asking = [self._ask(order, text)]
        readings = await asyncio.gather(*asking)
        if len(run_ids := {reading.run_id for reading in readings}) > 1:
            # Whoever joins a send that is then taken back is told so, under the run that never began.
            self._seen.twice.append(sorted(run_ids))
        return next((r for r in readings if r.status == "completed"), readings[0])

    async def _ask(
        self, clients: Sequence[ChatClient], text: str, *, stop_after: int = 0, leave_after: int = 0
    ) -> Reading:
        left = asyncio.Event()
        stops: list[asyncio.Task[None]] = []

        def on_event(reading: Reading) -> None:
            count = len(reading.answer.events)
            if count == stop_after:
                stops.append(asyncio.create_task(self._stop(clients[-1], reading.run_id)))
            if count == leave_after:
                left.set()

        reading = asyncio.create_task(
            ask_patiently(
                clients,
                self._thread_id,
                text,
                client_message_id=self._message_id,
                on_event=on_event,
                gives_up_s=_GIVES_UP_S,
            )
        )
        if leave_after:
            await self._leave(reading, left)
            # Whoever left asks again later, with the same message: it joins what was started.
            reading = asyncio.create_task(
                ask_patiently(
                    clients[::-1],
                    self._thread_id,
                    text,
                    client_message_id=self._message_id,
                    gives_up_s=_GIVES_UP_S,
                )
            )
        try:
            return await reading
        finally:
            await asyncio.gather(*stops)

    async def _leave(self, reading: "asyncio.Task[Reading]", left: asyncio.Event) -> None:
        leaving = asyncio.create_task(left.wait())
        await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, leaving):
            task.cancel()
        await asyncio.gather(reading, leaving, return_exceptions=True)

    async def _stop(self, client: ChatClient, run_id: str) -> None:
        with suppress(httpx.HTTPError):
            await client.http.post(f"/chat/runs/{run_id}/cancel")

    def _refused(self, response: httpx.Response) -> None:
        is_problem = response.headers["content-type"].startswith("application/problem+json")
        code = response.json()["code"] if is_problem else response.text
        self._seen.refusals[code] += 1
        if code in _CALM_REFUSALS:
            self._thread_id = ""
        else:
            self._seen.wrong.append(f"refused with {response.status_code} {code}")

    def _note(self, reading: Reading, whole: str) -> None:
        self._seen.statuses[reading.status or ""] += 1
        self._seen.connections += reading.connections
        self._seen.ends[reading.run_id] = (reading.status, reading.text)
        text = _MARK.sub("", reading.text)
        is_right = whole == text if reading.status == "completed" else whole.startswith(text)
        if not is_right:
            self._seen.wrong.append(f"{reading.run_id} is {reading.status} and reads {reading.text[-80:]!r}")
        if len(set(_MARK.findall(reading.text))) > 1:
            self._seen.wrong.append(f"{reading.run_id} is put together from several responses")
