"""Sessions: who a JWT of the customer's main application speaks for."""

import re
from datetime import datetime, timedelta
from typing import Any, Literal

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from common.errors import Unauthenticated
from common.events.envelope import Company

ALGORITHM = "HS256"
LEEWAY_S = 30
_TOKEN_BYTES_MAX = 8_192
_YEAR_9999_S = 253_402_300_799
"""The last time that can be shown; milliseconds by mistake are beyond it."""
_USER_ID = re.compile(r"^[^\x00-\x1f\x7f]{1,200}$")

Role = Literal["user", "operator"]

HOUSE_USER_ID = "house"
"""The account that pays for what operators have a model write. No session of the outside speaks for it."""


class Session(BaseModel):
    """The verified claims of a session. `user_id` is the claim `sub`."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, populate_by_name=True)

    user_id: str = Field(alias="sub", pattern=_USER_ID)
    expires_at: int = Field(alias="exp", le=_YEAR_9999_S)
    name: str | None = Field(default=None, max_length=200)
    email: str | None = Field(default=None, max_length=320)
    company: Company | None = None
    role: Role = "user"

    @field_validator("company", mode="before")
    @classmethod
    def _company_may_be_a_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return Company(id=value, name=value) if value else None
        if isinstance(value, dict):
            return Company.model_validate({"name": value.get("id"), **value})  # type: ignore[dict-item]
        return value


def verify_session(token: str, *, secret: str, now: datetime) -> Session:
    """Return what a token says. Raises Unauthenticated, the same for every kind of bad token."""
    if len(token) > _TOKEN_BYTES_MAX:
        raise Unauthenticated
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            options={
                "require": ["sub", "exp"],
                "enforce_minimum_key_length": True,
                # Checked below by the clock that tests can hold.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
            },
        )
        session = Session.model_validate(claims)
    except (jwt.PyJWTError, ValidationError, ValueError):
        raise Unauthenticated from None
    if session.user_id == HOUSE_USER_ID:
        raise Unauthenticated
    _check_times(claims, now)
    return session


def issue_session(
    user_id: str, *, secret: str, now: datetime, ttl: timedelta, claims: dict[str, Any] | None = None
) -> str:
    """Sign a session, as the customer's main application would."""
    body = {
        **(claims or {}),
        "sub": user_id,
        "iat": int(now.timestamp()),
        "exp": int((now + ttl).timestamp()),
    }
    return jwt.encode(body, secret, algorithm=ALGORITHM)


def _check_times(claims: dict[str, Any], now: datetime) -> None:
    at = now.timestamp()
    not_before = claims.get("nbf", 0)
    if (
        not isinstance(not_before, int | float)
        or at + LEEWAY_S < not_before
        or at - LEEWAY_S >= claims["exp"]
    ):
        raise Unauthenticated
