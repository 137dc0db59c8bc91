"""One log line and one measurement per request, and the end of every error that no route caught.

The line names the route, never the address: paths and queries may carry sessions and messages.
"""

import asyncio

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.clock import Clock
from common.errors import AppError, Unavailable
from common.ids import new_id
from common.log import get_logger
from common.metrics import HTTP_SECONDS
from gateway.errors import problem
from gateway.middleware.send_timeout import SlowReader

log = get_logger()

_QUIET_PREFIXES = ("/health/", "/metrics")


class AccessLog:
    """Names the request `X-Request-Id`; a 500 carries the same id, and so do all its log lines."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("q")
        started_s = self._clock.monotonic_s()
        first_byte_s: float | None = None
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal first_byte_s, status
            if message["type"] == "http.response.start":
                status, first_byte_s = message["status"], self._clock.monotonic_s()
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_named)
            except SlowReader:
                log.info("slow_reader_cut")
            except asyncio.CancelledError:
                # The server is told to stop and waits no longer. Whoever asks again meets another one.
                log.warning("request_cut_off")
                if status:
                    raise
                await problem(Unavailable())(scope, receive, send_named)
            except Exception:
                # The edge: whatever was not foreseen ends here, in the log with its stack, outside without.
                log.exception("request_failed")
                if not status:
                    await problem(AppError(), id=request_id)(scope, receive, send_named)
            finally:
                now_s = self._clock.monotonic_s()
                self._record(scope, status, (first_byte_s or now_s) - started_s, now_s - started_s)

    def _record(self, scope: Scope, status: int, first_byte_s: float, total_s: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        HTTP_SECONDS.labels(route=route, method=_method(scope), status=status).observe(first_byte_s)
        write = log.debug if route.startswith(_QUIET_PREFIXES) else log.info
        write(
            "request",
            route=route,
            method=_method(scope),
            status=status,
            first_byte_ms=round(first_byte_s * 1000, 1),
            total_ms=round(total_s * 1000, 1),
            user_id=scope["state"].get("user_id"),
        )


def _method(scope: Scope) -> str:
    """Return the method; an invented one becomes a label of its own no more than once."""
    method: str = scope["method"]
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    return method if method in known else "OTHER"
