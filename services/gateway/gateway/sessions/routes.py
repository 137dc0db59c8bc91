"""Exchanging a token for the cookie."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from common.auth import Role, Session, verify_session
from common.clock import rfc3339
from common.errors import Malformed, Unauthenticated
from gateway.context import GatewayServices, Services
from gateway.parameters import Body
from gateway.policy import PUBLIC
from gateway.sessions.cookie import comes_from_us, set_session_cookie
from gateway.sessions.presented import explicit_token

router = APIRouter(tags=["session"], dependencies=[PUBLIC])

_COOKIE_BYTES_MAX = 4_000
_AFTER_SIGN_IN = "/docs"


class Exchange(Body):
    """The token, when it is neither in the address nor in a header."""

    s: str = Field(max_length=8_192)


class OpenSession(BaseModel):
    sub: str
    name: str | None
    role: Role
    expires_at: str


class SessionAnswer(BaseModel):
    session: OpenSession


@router.post("/chat/session")
async def open_session(
    request: Request, response: Response, services: GatewayServices, body: Exchange | None = None
) -> SessionAnswer:
    """Take the token from `s`, from `Authorization: Bearer` or from the body, and set the cookie.

    The app does this at once and strips `s` from the address bar.
    """
    if not comes_from_us(request, public_origin=services.settings.public_origin):
        # Or a foreign page could sign its reader in as somebody else.
        raise Unauthenticated
    session = _sign_in(explicit_token(request) or (body and body.s), response, services)
    return SessionAnswer(
        session=OpenSession(
            sub=session.user_id,
            name=session.name,
            role=session.role,
            expires_at=rfc3339(datetime.fromtimestamp(session.expires_at, UTC)),
        )
    )


@router.get("/", include_in_schema=False)
async def enter(request: Request, services: GatewayServices) -> Response:
    """Follow a sign-in link: the token becomes the cookie and leaves the address."""
    response = RedirectResponse(_AFTER_SIGN_IN, status_code=303)
    if "s" in request.query_params:
        _sign_in(explicit_token(request), response, services)
    return response


def _sign_in(token: str | None, response: Response, services: Services) -> Session:
    now = services.clock.now()
    if token is None:
        raise Unauthenticated
    session = verify_session(token, secret=services.settings.shared_secret, now=now)
    if len(token) > _COOKIE_BYTES_MAX:
        raise Malformed("The token is too long for a cookie; send it as a Bearer token")
    set_session_cookie(response, token, session, settings=services.settings, now=now)
    return session
