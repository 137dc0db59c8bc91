"""A TCP proxy between a service and a server, which can be told to behave as a bad network does."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_READ_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)
"""With a linger of no seconds, closing a socket sends a reset."""


@dataclass(eq=False, slots=True)
class _Side:
    """One of the two sockets of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        connected = self.writer.get_extra_info("socket")
        with suppress(OSError):
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()


class Proxy:
    """Listens on a free port of this machine and passes everything on to one server.

    `swallow_up` drops what goes to the server, `swallow_down` what comes from it, without a word: with both
    the link is half-open. Bytes that were dropped never come, so a link is healed by `reset` only.
    `swallow_reply_to`: once these bytes have gone up, nothing comes down any more.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server_address = (host, port)
        self._listener: asyncio.Server | None = None
        self._sides: set[_Side] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.port = 0
        self.refuses = False
        self.swallow_up = False
        self.swallow_down = False
        self.swallow_reply_to: bytes | None = None
        self.latency_s = 0.0
        self.bytes_per_s: float | None = None
        self.swallowed_bytes = 0

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self.reset()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def url(self, server_url: str) -> str:
        """Write the server's URL so that it leads through this proxy."""
        parts = urlsplit(server_url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}").geturl()

    def reset(self) -> None:
        """Cut every connection hard, on both sides."""
        for side in list(self._sides):
            side.reset()

    def heal(self) -> None:
        """Be a good network again. Connections that lost bytes are cut, since they cannot go on."""
        lossy = self.swallow_up or self.swallow_down
        self.refuses = self.swallow_up = self.swallow_down = False
        self.swallow_reply_to = self.bytes_per_s = None
        self.latency_s = 0.0
        if lossy:
            self.reset()

    def go_away(self) -> None:
        """Cut all connections and take no new ones."""
        self.refuses = True
        self.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near = _Side(reader, writer)
        if self.refuses:
            near.reset()
            return
        try:
            far = _Side(*await asyncio.open_connection(*self._server_address))
        except OSError:
            near.reset()
            return
        self._sides |= {near, far}
        for source, target, is_up in ((near, far, True), (far, near, False)):
            pump = asyncio.create_task(self._pump(source, target, is_up=is_up))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: _Side, target: _Side, *, is_up: bool) -> None:
        try:
            while data := await source.reader.read(_READ_BYTES):
                if self.swallow_up if is_up else self.swallow_down:
                    self.swallowed_bytes += len(data)
                    continue
                if is_up and self.swallow_reply_to and self.swallow_reply_to in data:
                    self.swallow_down = True
                if self.latency_s:
                    await asyncio.sleep(self.latency_s)
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                target.writer.write(data)
                await target.writer.drain()
        except OSError:
            # The one side's reset is the other's.
            target.reset()
        finally:
            self._sides.discard(source)
            target.writer.close()


@asynccontextmanager
async def running_proxy(server_url: str) -> AsyncGenerator[Proxy]:
    """Run a proxy before the server of a URL for the length of a block."""
    parts = urlsplit(server_url)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 0)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
