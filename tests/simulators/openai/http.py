"""A bare HTTP/1.1 server for many slow streams: one write per stream and tick, and control over the socket.

No framework: it must cost far less than what it measures, and has to break connections in ways that a
framework takes care never to do.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, unquote

import httptools
import orjson

BODY_BYTES_MAX = 16 * 1024 * 1024


class Exchange:
    """One request, and the means to answer it or to fail at it."""

    def __init__(
        self, connection: "Connection", method: str, target: bytes, headers: Mapping[str, str]
    ) -> None:
        url = httptools.parse_url(target)
        self.method = method
        self.path = unquote(url.path.decode())
        self.query = dict(parse_qsl((url.query or b"").decode()))
        self.headers = headers
        self.body = b""
        self.on_gone: Callable[[], None] | None = None
        """Called once when the client is gone before the answer was complete."""
        self._connection = connection

    @property
    def writable(self) -> bool:
        """Whether the client keeps up with reading."""
        return not self._connection.paused

    @property
    def peer_port(self) -> int:
        """The client's port, which tells its connections apart."""
        return self._connection.peer_port

    def json(self) -> dict[str, Any]:
        """Parse the body; an empty one is an empty object. Raises ValueError."""
        value = orjson.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise ValueError("the body must be a JSON object")  # noqa: TRY004 - a bad value, not a bug
        return value

    def answer(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer: JSON, or bytes as they are."""
        is_raw = isinstance(body, bytes)
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        fields = {
            "content-type": "application/octet-stream" if is_raw else "application/json",
            "content-length": str(len(content)),
            **(headers or {}),
        }
        self._connection.write(_head(status, fields) + content)
        self._connection.finish(self)

    def start_stream(self, headers: Mapping[str, str]) -> None:
        fields = {
            "content-type": "text/event-stream; charset=utf-8",
            "transfer-encoding": "chunked",
            **headers,
        }
        self._connection.write(_head(HTTPStatus.OK, fields))

    def write(self, data: bytes) -> None:
        """Send a piece of the stream as one chunk of the transfer encoding."""
        self._connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """End the stream as HTTP wants it."""
        self._connection.write(b"0\r\n\r\n")
        self._connection.finish(self)

    def close_unfinished(self) -> None:
        """Close the socket in good order, but without the last chunk."""
        self.on_gone = None
        self._connection.close()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.on_gone = None
        self._connection.reset()


class Handler(Protocol):
    def __call__(self, exchange: Exchange, /) -> None: ...


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are answered one after the other, as the SDK sends them."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._exchange: Exchange | None = None
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @property
    def peer_port(self) -> int:
        return self._transport.get_extra_info("peername")[1]

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.on_gone is not None:
            exchange.on_gone()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def on_message_begin(self) -> None:
        self._target, self._headers, self._body = b"", {}, bytearray()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > BODY_BYTES_MAX:
            self._transport.abort()

    def on_message_complete(self) -> None:
        exchange = Exchange(self, self._parser.get_method().decode(), self._target, self._headers)
        exchange.body = bytes(self._body)
        self._exchange = exchange
        self._handler(exchange)

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def finish(self, exchange: Exchange) -> None:
        if self._exchange is exchange:
            self._exchange = None

    def close(self) -> None:
        self._exchange = None
        self._transport.close()

    def reset(self) -> None:
        self._exchange = None
        # Linger of zero seconds makes the close a reset, which is what a dying peer or proxy looks like.
        raw: socket.socket = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def _head(status: int, fields: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
