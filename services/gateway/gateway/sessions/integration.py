"""Who may call /int: HTTP Basic (what Pipedrive can send) or a Bearer token with `scope: int`."""

import base64
import binascii
import hmac
from datetime import datetime

import jwt

from common.auth import ALGORITHM, LEEWAY_S
from common.errors import Unauthenticated
from gateway.settings import Settings


def check_integration(authorization: str, *, settings: Settings, now: datetime) -> None:
    """Raises Unauthenticated, the same for every reason. Without INT_PASSWORD, Basic opens nothing."""
    scheme, _, value = authorization.partition(" ")
    match scheme.lower():
        case "basic":
            _check_basic(value.strip(), settings)
        case "bearer":
            _check_bearer(value.strip(), settings, now)
        case _:
            raise Unauthenticated


def _check_basic(value: str, settings: Settings) -> None:
    try:
        given = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Unauthenticated from None
    expected = f"{settings.int_user}:{settings.int_password}".encode()
    if not settings.int_password or not hmac.compare_digest(given, expected):
        raise Unauthenticated


def _check_bearer(token: str, settings: Settings, now: datetime) -> None:
    try:
        claims = jwt.decode(
            token,
            settings.shared_secret,
            algorithms=[ALGORITHM],
            # The time is checked below, by the clock that tests can hold.
            options={"require": ["exp"], "verify_exp": False, "verify_aud": False},
        )
    except (jwt.PyJWTError, ValueError):
        raise Unauthenticated from None
    expires_at = claims["exp"]
    if claims.get("scope") != "int" or not isinstance(expires_at, int):
        raise Unauthenticated
    if now.timestamp() - LEEWAY_S >= expires_at:
        raise Unauthenticated
