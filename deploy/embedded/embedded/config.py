"""What `make run` is told: the environment, over `.env`, over defaults."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from common.settings import DEVELOPMENT_SECRET
from embedded.ports import LOOPBACK

_DEPLOY = Path(__file__).parents[2]
_BUILT_APP = _DEPLOY.parent / "app" / "dist"
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound
_DRAIN_S = 10
"""Shorter than in production: whoever presses Ctrl-C waits. An answer that is cut is taken up again."""


class BadSetting(ValueError):
    """A setting cannot be used; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`settings` holds every setting by its name, as the services will get it."""

    data_dir: Path
    port: int
    workers: int
    drain_s: int
    settings: Mapping[str, str] = field(repr=False)

    @property
    def address(self) -> str:
        return self.settings["ADDRESS"]

    @property
    def url(self) -> str:
        """Where this machine reaches the app, also when it listens on every interface."""
        host = LOOPBACK if self.address in _EVERYWHERE else self.address
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

    def given(self, name: str) -> str | None:
        """Return what the user set, or None."""
        return self.settings.get(name)


def read_config(environ: Mapping[str, str], env_file: Path) -> Config:
    """Join environment, file and defaults; an empty value counts as not set. Raises BadSetting."""
    from_file = {name: value for name, value in dotenv_values(env_file).items() if value}
    defaults = {
        "ADDRESS": LOOPBACK,
        "APP_DIR": str(_BUILT_APP) if _BUILT_APP.is_dir() else "",
        "ASSISTANTS_DIR": str(_DEPLOY / "assistants"),
        "DATA_DIR": ".run",
        "DRAIN_S": str(_DRAIN_S),
        "PORT": "8080",
        "SHARED_SECRET": DEVELOPMENT_SECRET,
        "WORKERS": "1",
    }
    given = {name: value for name, value in environ.items() if value}
    settings = {**defaults, **from_file, **given}
    settings |= _integration(settings)
    return Config(
        data_dir=Path(settings["DATA_DIR"]).resolve(),
        port=_number("PORT", settings["PORT"], at_least=1, at_most=65_535),
        workers=_number("WORKERS", settings["WORKERS"], at_least=1, at_most=64),
        drain_s=_number("DRAIN_S", settings["DRAIN_S"], at_least=0),
        settings=settings,
    )


def _integration(settings: Mapping[str, str]) -> dict[str, str]:
    """Choose credentials for /int when none are given, from the secret: the same in every run."""
    if "INT_PASSWORD" in settings:
        return {}
    password = hmac.digest(settings["SHARED_SECRET"].encode(), b"INT_PASSWORD", "sha256").hex()
    return {"INT_USER": settings.get("INT_USER", "integration"), "INT_PASSWORD": password}


def _number(name: str, value: str, *, at_least: int, at_most: int = 86_400) -> int:
    if not value.isdecimal() or not at_least <= int(value) <= at_most:
        raise BadSetting(f"{name}={value} must be a whole number from {at_least} to {at_most}")
    return int(value)
