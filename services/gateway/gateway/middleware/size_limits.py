"""Refuses what is too large before anything looks at it: 414 for the address, 413 for the body."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.errors import AppError, Malformed, TooLarge, UriTooLong
from gateway.errors import app_problem

_BODY_TIMEOUT_S = 30.0


class SizeLimits:
    """Reads a body whole, since all are small, and counts what comes instead of trusting its header.

    Below the paths of `large`, a body may have `large_body_bytes_max`, if it comes from somebody whom the
    policy lets through: of strangers no more is kept than elsewhere.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        url_bytes_max: int,
        body_bytes_max: int,
        large_body_bytes_max: int,
        large: Mapping[str, Callable[[Request], Awaitable[object]]],
    ) -> None:
        self._app = app
        self._url_bytes_max = url_bytes_max
        self._body_bytes_max = body_bytes_max
        self._large_body_bytes_max = large_body_bytes_max
        self._large = large

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._admit(scope, receive)
        except AppError as error:
            await app_problem(Request(scope), error)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _admit(self, scope: Scope, receive: Receive) -> bytes:
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        if len(raw_path) + len(scope["query_string"]) > self._url_bytes_max:
            raise UriTooLong(f"The address may have {self._url_bytes_max} bytes")
        headers = dict(scope["headers"])
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            return b""
        bytes_max = await self._bytes_max(scope, headers.get(b"content-length", b""))
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                return await _read(receive, bytes_max)
        except TimeoutError:
            raise Malformed("The body did not arrive in time") from None

    async def _bytes_max(self, scope: Scope, declared: bytes) -> int:
        """Return how much is read. Raises TooLarge for what says itself that it is more."""
        count = int(declared) if declared.isdigit() else None
        if count is not None and count <= self._body_bytes_max:
            return self._body_bytes_max
        policy = next((large for path, large in self._large.items() if scope["path"].startswith(path)), None)
        bytes_max = self._body_bytes_max if policy is None else self._large_body_bytes_max
        if count is not None and count > bytes_max:
            raise _too_large(bytes_max)
        if policy is not None:
            await policy(Request(scope))
        return bytes_max


async def _read(receive: Receive, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    count = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("The body is incomplete")
        parts.append(message.get("body", b""))
        count += len(parts[-1])
        more = message.get("more_body", False)
        if count > bytes_max:
            raise _too_large(bytes_max)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = True

    async def replay() -> Message:
        nonlocal pending
        if pending:
            pending = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"A body may have {bytes_max} bytes")
