"""Settings of the chat worker."""

from pydantic import Field

from common.settings import AssistantSettings, CommonSettings, SecretSettings


class Settings(CommonSettings, SecretSettings, AssistantSettings):
    """Runs at once, leases, limits and the provider."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    oai_token: str = Field(default="", description="API key of the provider")
    oai_base_url: str | None = Field(default=None, description="where the provider is, if not at OpenAI")
    runs_max: int = Field(default=20, gt=0, description="runs driven at once by one process")
    run_max_s: float = Field(default=600.0, gt=0, description="a run that takes longer is ended")
    lease_s: float = Field(default=15.0, gt=0, description="how long a run stays claimed without renewal")
    recovery_every_s: float = Field(default=10.0, gt=0)
    provider_idle_s: float = Field(
        default=90.0, gt=0, description="silence after which a stream counts as lost"
    )
    file_bytes_max: int = Field(default=20_000_000, gt=0)
    drain_s: float = 120.0
