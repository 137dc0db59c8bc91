"""A browser without a window: signs in, sends, reads event streams, drops and comes back."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx

from common.auth import issue_session
from common.settings import DEVELOPMENT_SECRET


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event as it came over the wire."""

    id: str
    kind: str
    data: dict[str, Any]

    @property
    def sequence(self) -> int:
        return int(self.id.rsplit(":", 1)[1])


@dataclass(slots=True)
class Answer:
    """What a client has seen of one run, over any number of connections."""

    events: list[StreamEvent] = field(default_factory=list[StreamEvent])

    @property
    def run_id(self) -> str:
        return self.events[0].id.rsplit(":", 1)[0]

    @property
    def text(self) -> str:
        return "".join(event.data["text"] for event in self.events if event.kind == "delta")

    @property
    def status(self) -> str | None:
        return next((event.data["status"] for event in self.events if event.kind == "done"), None)

    @property
    def usage(self) -> dict[str, Any]:
        return next(event.data for event in self.events if event.kind == "usage")

    @property
    def last_id(self) -> str:
        return self.events[-1].id

    @property
    def sequences(self) -> list[int]:
        return [event.sequence for event in self.events]


class ChatClient:
    """One user at one gateway."""

    def __init__(self, url: str, user_id: str, *, token: str | None = None, **claims: Any) -> None:
        self.user_id = user_id
        now = datetime.now(UTC)  # noqa: TID251 - the gateway under test reads the real clock
        self.token = token or issue_session(
            user_id, secret=DEVELOPMENT_SECRET, now=now, ttl=timedelta(hours=1), claims=claims
        )
        self.http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=httpx.Timeout(30, read=60),
            limits=httpx.Limits(max_connections=None),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def open(self) -> dict[str, Any]:
        """GET /chat/thread: makes the account and the thread when missing."""
        response = await self.http.get("/chat/thread")
        response.raise_for_status()
        return response.json()

    async def new_thread(self) -> str:
        response = await self.http.post("/chat/threads", json={})
        response.raise_for_status()
        return response.json()["thread"]["id"]

    async def ask(self, thread_id: str, text: str, *, client_message_id: str | None = None) -> Answer:
        """Send a message and read its answer to the end. Raises httpx.HTTPStatusError when refused."""
        answer = Answer()
        async with aclosing(self.send(thread_id, text, client_message_id=client_message_id)) as events:
            async for event in events:
                answer.events.append(event)
        return answer

    def send(
        self, thread_id: str, text: str, *, client_message_id: str | None = None
    ) -> AsyncGenerator[StreamEvent]:
        """Send a message and stream its events; closing the stream drops the connection."""
        body: dict[str, Any] = {"thread_id": thread_id, "text": text}
        if client_message_id is not None:
            body["client_message_id"] = client_message_id
        return self._stream("POST", "/chat/messages", json=body)

    def resume(self, answer: Answer) -> AsyncGenerator[StreamEvent]:
        """Go on after the last event that was seen."""
        return self._stream(
            "GET", f"/chat/runs/{answer.run_id}/events", headers={"Last-Event-ID": answer.last_id}
        )

    async def replay(self, run_id: str) -> Answer:
        """Read a run from its very beginning."""
        answer = Answer()
        async for event in self._stream("GET", f"/chat/runs/{run_id}/events"):
            answer.events.append(event)
        return answer

    async def _stream(self, method: str, path: str, **request: Any) -> AsyncGenerator[StreamEvent]:
        async with self.http.stream(method, path, **request) as response:
            if response.is_error:
                await response.aread()
                response.raise_for_status()
            event: dict[str, str] = {}
            async for line in _lines(response):
                if line.startswith(":"):
                    continue
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                    continue
                if "event" in event:
                    yield StreamEvent(event["id"], event["event"], json.loads(event["data"]))
                event = {}


async def _lines(response: httpx.Response) -> AsyncGenerator[str]:
    """Split as the event stream's format says; httpx would split at U+2028 too."""
    rest = ""
    async for text in response.aiter_text():
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line
