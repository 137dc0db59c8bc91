"""Refuses what is too large before anything looks at it: 414 for the address, 413 for the body."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.errors import AppError, Malformed, TooLarge, UriTooLong
from gateway.errors import problem

_BODY_TIMEOUT_S = 30.0


class SizeLimits:
    """Reads a body whole, since all are small, and counts what comes instead of trusting its header."""

    def __init__(
        self, app: ASGIApp, *, url_bytes_max: int, body_bytes_max: int, int_body_bytes_max: int
    ) -> None:
        self._app = app
        self._url_bytes_max = url_bytes_max
        self._body_bytes_max = body_bytes_max
        self._int_body_bytes_max = int_body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._admit(scope, receive)
        except AppError as error:
            await problem(error)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _admit(self, scope: Scope, receive: Receive) -> bytes:
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        if len(raw_path) + len(scope["query_string"]) > self._url_bytes_max:
            raise UriTooLong(f"The address may have {self._url_bytes_max} bytes")
        headers = dict(scope["headers"])
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            return b""
        bytes_max = self._int_body_bytes_max if _is_int(scope) else self._body_bytes_max
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > bytes_max:
            raise _too_large(bytes_max)
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                return await _read(receive, bytes_max)
        except TimeoutError:
            raise Malformed("The body did not arrive in time") from None


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


def _is_int(scope: Scope) -> bool:
    return scope["path"].startswith("/int/")


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"A body may have {bytes_max} bytes")
