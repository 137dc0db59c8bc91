"""The cookie that stands for a session, and when it may.

A browser sends a cookie along with whatever page asks. So it counts for a request that changes something
only when our own page made it: then no foreign page, image or prefetch can spend a user's tokens.
"""

from datetime import datetime

from fastapi import Request, Response

from common.auth import Session
from gateway.settings import Settings

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def cookie_name(settings: Settings) -> str:
    """The prefix makes browsers refuse the cookie from any other host or path; it needs https."""
    return "__Host-session" if settings.is_https else "session"


def set_session_cookie(
    response: Response, token: str, session: Session, *, settings: Settings, now: datetime
) -> None:
    response.set_cookie(
        cookie_name(settings),
        token,
        max_age=max(0, session.expires_at - int(now.timestamp())),
        path="/",
        httponly=True,
        secure=settings.is_https,
        samesite="lax",
    )


def cookie_counts(request: Request, *, changes: bool, public_origin: str) -> bool:
    """Tell whether the request's cookie may open the route. `changes` marks a GET that changes something."""
    site = request.headers.get("sec-fetch-site")
    if request.method in _SAFE_METHODS:
        return not changes or site == "same-origin"
    return comes_from_us(request, public_origin=public_origin)


def comes_from_us(request: Request, *, public_origin: str) -> bool:
    """Tell whether our own page sent the request. Without both headers no browser sent it."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        return True
    return site == "same-origin" or origin == public_origin
