"""A user whose browser comes back, to whichever gateway answers, until the answer is complete."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import httpx

from support.chat_client import Answer, ChatClient, StreamEvent

_GIVES_UP_S = 150.0
_UNAVAILABLE = 503
_COMES_BACK_AFTER_S = 0.3
_AWAY = (httpx.TransportError, httpx.StreamError)


class GaveUp(AssertionError):
    """The answer never became complete."""


@dataclass(slots=True)
class Reading:
    """An answer as a browser shows it: each piece of text is put where it says that it begins."""

    answer: Answer = field(default_factory=Answer)
    text: str = ""
    rewritten: int = 0
    """How often a piece began inside of what was there already."""
    connections: int = 0

    @property
    def run_id(self) -> str:
        return self.answer.run_id if self.answer.events else ""

    @property
    def status(self) -> str | None:
        return self.answer.status

    def take(self, event: StreamEvent) -> None:
        self.answer.events.append(event)
        if event.kind == "delta":
            at = event.data["at"]
            assert at <= len(self.text), "a piece of the text is missing"
            self.rewritten += at < len(self.text)
            self.text = self.text[:at] + event.data["text"]

    @property
    def is_whole(self) -> bool:
        """Tell whether every event came exactly once and in order."""
        count = len(self.answer.events)
        return self.answer.sequences == list(range(1, count + 1)) and not self.rewritten


async def ask_patiently(
    clients: Sequence[ChatClient],
    thread_id: str,
    text: str,
    *,
    client_message_id: str,
    on_event: Callable[[Reading], None] = lambda _: None,
    gives_up_s: float = _GIVES_UP_S,
) -> Reading:
    """Send once, read to the end through every failure. `clients` are one user at several gateways.

    Raises httpx.HTTPStatusError for a refusal that is not 503, and GaveUp.
    """
    reading = Reading()
    try:
        async with asyncio.timeout(gives_up_s):
            while reading.status is None:
                client = clients[reading.connections % len(clients)]
                reading.connections += 1
                try:
                    async with aclosing(
                        _events(client, reading, thread_id, text, client_message_id)
                    ) as events:
                        async for event in events:
                            reading.take(event)
                            on_event(reading)
                except _AWAY:
                    pass
                except httpx.HTTPStatusError as refusal:
                    if refusal.response.status_code != _UNAVAILABLE:
                        raise
                if reading.status is None:
                    await asyncio.sleep(_COMES_BACK_AFTER_S)
    except TimeoutError:
        what = f"{reading.run_id or client_message_id} after {reading.connections} connections"
        raise GaveUp(f"no end of {what}, {len(reading.text)} characters read") from None
    return reading


def _events(
    client: ChatClient, reading: Reading, thread_id: str, text: str, client_message_id: str
) -> AsyncGenerator[StreamEvent]:
    if reading.run_id:
        return client.resume(reading.answer)
    return client.send(thread_id, text, client_message_id=client_message_id)
