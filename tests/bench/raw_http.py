"""The cheapest client that can tell when an answer began: bytes in, two times out.

The same code reads the provider and the product, so what it costs itself is in both figures.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

_BODY_END = b"\r\n0\r\n\r\n"
_TAIL_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds from sending the request; `first_s` to the first text, `tail` is the end of the body."""

    first_s: float
    total_s: float
    tail: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `first` marks the first text in the answer's bytes, `last` must be in its end."""

    raw: bytes
    first: bytes
    last: bytes


class AnswerFailed(AssertionError):
    """The answer was refused, broke off, or is not whole. Shows its end."""


def post(url: str, body: dict[str, Any], *, token: str, first: bytes, last: bytes) -> Request:
    parts = urlsplit(url)
    content = orjson.dumps(body)
    fields = {
        "host": parts.netloc,
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "content-length": str(len(content)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return Request(f"POST {parts.path} HTTP/1.1\r\n{head}\r\n".encode() + content, first, last)


class RawConnection(asyncio.Protocol):
    """One keep-alive connection; reads one answer after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._request: Request
        self._done: asyncio.Future[Reading] | None = None
        self._head = b""
        self._tail = b""
        self._started_s = 0.0
        self._first_s: float | None = None

    @classmethod
    async def open(cls, url: str) -> "RawConnection":
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, parts.hostname or "", parts.port or 80)
        return connection

    async def read(self, request: Request) -> Reading:
        """Send the request and read its answer to the end. Raises AnswerFailed."""
        self._request, self._done = request, self._loop.create_future()
        self._head = self._tail = b""
        self._first_s = None
        self._started_s = self._loop.time()
        self._transport.write(request.raw)
        reading = await self._done
        if request.last not in reading.tail:
            raise AnswerFailed(reading.tail.decode(errors="replace"))
        return reading

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(AnswerFailed(f"cut ({exc}) after {self._tail!r}"))

    def data_received(self, data: bytes) -> None:
        if self._first_s is None:
            self._head += data
            if self._request.first in self._head:
                self._first_s = self._loop.time() - self._started_s
        self._tail = data[-_TAIL_BYTES:] if len(data) >= _TAIL_BYTES else (self._tail + data)[-_TAIL_BYTES:]
        if self._tail.endswith(_BODY_END):
            self._end()
        elif self._first_s is None and not self._head.startswith(b"HTTP/1.1 200"):
            self._transport.abort()

    def _end(self) -> None:
        if self._done is None or self._done.done():
            return
        if self._first_s is None:
            self._done.set_exception(AnswerFailed(self._head.decode(errors="replace")))
        else:
            total_s = self._loop.time() - self._started_s
            self._done.set_result(Reading(self._first_s, total_s, self._tail))
