"""Which other origins a browser may call from: the public one, and the main integration's for /int."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_REQUEST_HEADERS = ("Authorization", "Content-Type", "Last-Event-ID")
_ANSWER_HEADERS = ("Retry-After", "X-Request-Id")


class Cors:
    """The public origin may send its cookie; the integration's origin may not, and only reaches /int."""

    def __init__(self, app: ASGIApp, *, public_origin: str, int_origin: str) -> None:
        self._everywhere = _cors(app, [public_origin], credentials=True)
        self._int = _cors(
            app, [origin for origin in (public_origin, int_origin) if origin], credentials=False
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = self._int if scope.get("path", "").startswith("/int/") else self._everywhere
        await inner(scope, receive, send)


def _cors(app: ASGIApp, origins: list[str], *, credentials: bool) -> CORSMiddleware:
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=_REQUEST_HEADERS,
        expose_headers=_ANSWER_HEADERS,
        allow_credentials=credentials,
    )
