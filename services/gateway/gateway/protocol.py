"""uvicorn's HTTP/1.1 protocol with the bounds that it leaves open.

Its parser takes heads of any size and waits for them for ever: here a head has a size and a time. And a
response that nobody reads can be dropped with what is unsent, since closing would wait for it.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from common.errors import AppError, TooLarge, UriTooLong
from gateway.errors import problem
from gateway.middleware.send_timeout import ABORT

HEAD_BYTES_MAX = 64 * 1024
URL_BYTES_MAX = 60_000
"""The parser of addresses fails beyond 65,535; one that is cut here is still too long for any route."""


class GatewayProtocol(HttpToolsProtocol):
    """Ends connections whose request head is too large or does not come in time."""

    head_timeout_s = 30.0
    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data) if self._in_head else 0
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(UriTooLong() if len(self.url) >= URL_BYTES_MAX // 2 else TooLarge())

    def on_message_begin(self) -> None:
        self._start_head_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_head_timer()
        self.url = self.url[:URL_BYTES_MAX]
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def _refuse(self, error: AppError) -> None:
        answer = problem(error)
        headers = [*answer.raw_headers, (b"connection", b"close")]
        lines = [b"%s: %s\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)]))
        self.transport.close()

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
