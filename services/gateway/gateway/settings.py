"""Settings of the gateway; the names are the operator's (`DIST_URL`, `MESSAGES_PER_MINUTE`, …)."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from common.settings import AssistantSettings, CommonSettings, SecretSettings


class BrokerSettings(CommonSettings):
    """What is needed to look at the queues, also from the command line."""

    amqp_management_url: str = Field(
        default="", repr=False, description="RabbitMQ's management API, for the dashboard; off if unset"
    )


class Settings(BrokerSettings, SecretSettings, AssistantSettings):
    """What the gateway reads from the environment, once, when it starts."""

    port: int = Field(default=8080, ge=0, le=65_535)
    redis_url: str = "redis://127.0.0.1:6379/0"
    dist_url: str = Field(default="", description="the public origin; this host and port if unset")
    login_url: str = Field(default="", description="where people sign in; the public origin if unset")
    int_url: str = Field(default="", description="origin of the main integration, allowed for /int by CORS")
    int_user: str = ""
    int_password: str = Field(default="", repr=False)

    app_dir: Path | None = Field(default=None, description="the built app; without it there is only the API")

    message_bytes_max: int = Field(default=32 * 1024, gt=0)
    body_bytes_max: int = Field(default=64 * 1024, gt=0)
    int_body_bytes_max: int = Field(default=1024 * 1024, gt=0)
    url_bytes_max: int = Field(default=8 * 1024, gt=0, lt=60_000)
    runs_per_user: int = Field(default=3, gt=0)
    messages_per_minute: int = Field(default=20, gt=0)
    streams_per_user: int = Field(default=10, gt=0)
    send_timeout_s: float = Field(default=30.0, gt=0, description="a client that reads nothing is cut")
    drain_s: float = Field(default=30.0, gt=0, description="for open requests to end after SIGTERM")
    connections_max: int = Field(default=10_000, gt=0, description="beyond it, 503 at once")

    @field_validator("dist_url", "login_url", "int_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.netloc):
            raise ValueError("must be an http(s) URL")
        return value

    @property
    def public_origin(self) -> str:
        return origin_of(self.dist_url) or f"http://{self.address}:{self.port}"

    @property
    def sign_in_url(self) -> str:
        return self.login_url or self.public_origin

    @property
    def is_https(self) -> bool:
        return self.public_origin.startswith("https://")


def origin_of(url: str) -> str:
    """Cut a URL to scheme, host and port, as a browser writes it in `Origin`. Empty stays empty."""
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc}" if url else ""
