"""Finds a request's token: query parameter `s`, then `Authorization: Bearer`, then the cookie.

The first that is there decides. A bad one is not made up for by another.
"""

from fastapi import Request

from common.errors import Unauthenticated
from gateway.sessions.cookie import cookie_counts, cookie_name
from gateway.settings import Settings


def explicit_token(request: Request) -> str | None:
    """Return the token that the client itself put into the request, if any."""
    in_query = request.query_params.get("s")
    if in_query:
        return in_query
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def presented_token(request: Request, *, settings: Settings, changes: bool) -> str:
    """Return the token to verify. Raises Unauthenticated if there is none that counts."""
    token = explicit_token(request)
    if token is None:
        token = request.cookies.get(cookie_name(settings))
        if token is None or not cookie_counts(request, changes=changes, public_origin=settings.public_origin):
            raise Unauthenticated
    return token
