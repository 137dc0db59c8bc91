"""Settings come from the environment, once, when a service starts.

The names are the operator's: `DB_URL`, `AMQP_URL`, … A wrong value is refused at start with its name.
"""

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEVELOPMENT_SECRET = "development-only-secret-do-not-use-elsewhere"  # noqa: S105 - refused beyond loopback
SECRET_BYTES_MIN = 32


class CommonSettings(BaseSettings):
    """What every service needs."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    db_url: str = "mongodb://127.0.0.1:27017/chat"
    amqp_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    address: str = Field(default="127.0.0.1", description="where the service listens")
    health_port: int = Field(default=0, description="port of /health and /metrics; 0 is off")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    crash_at: str = Field(default="", description="for tests: see common.crash_points")
    drain_s: float = Field(
        default=20.0, description="how long what is in flight may take to end after SIGTERM"
    )


class SecretSettings(BaseSettings):
    """For services that sign or verify with the secret shared with the customer's main application."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    address: str = "127.0.0.1"
    dist_url: str = ""
    shared_secret: str = DEVELOPMENT_SECRET

    @model_validator(mode="after")
    def _secret_is_strong(self) -> "SecretSettings":
        # A service that listens on loopback may be reached from everywhere through a proxy or a tunnel.
        hosts = [self.address, *filter(None, [urlsplit(self.dist_url).hostname])]
        if self.shared_secret == DEVELOPMENT_SECRET and not all(map(is_loopback, hosts)):
            raise ValueError("SHARED_SECRET must be set: the development default works on loopback only")
        if len(self.shared_secret.encode()) < SECRET_BYTES_MIN:
            raise ValueError(f"SHARED_SECRET must have at least {SECRET_BYTES_MIN} bytes")
        return self


class AssistantSettings(BaseSettings):
    """For services that need the assistant's profile."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    oai_assistant: str = "default"
    assistants_dir: Path = Path("deploy/assistants")


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach the address."""
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
