"""Settings of pipedrive-sync, beside those of every service. docs/pipedrive.md explains them."""

from datetime import timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from common.settings import CommonSettings
from pipedrive_sync.domain.budget import DailyBudget
from pipedrive_sync.domain.decide import OnCleared, OnDeleted, Policy
from pipedrive_sync.jobs.supervise import Subscription

WEBHOOK_PATH = "/int/pipedrive/webhooks"


class Settings(CommonSettings):
    pipedrive_token: str = Field(default="", repr=False, description="empty: quotas come by /int only")
    pipedrive_base_url: str = "https://api.pipedrive.com"
    dist_url: str = Field(default="", description="the public origin, where Pipedrive posts")
    int_user: str = ""
    int_password: str = Field(default="", repr=False)

    pipedrive_quota_field: str = "Chat token quota"
    pipedrive_used_field: str = "Chat tokens used"
    pipedrive_balance_field: str = "Chat token balance"
    pipedrive_user_field: str = "Chat user id"
    pipedrive_setup_at_start: bool = Field(default=False, description="make fields and webhook when missing")

    pipedrive_on_cleared: OnCleared = "keep"
    pipedrive_on_deleted: OnDeleted = "keep"
    pipedrive_confirm_factor: float = Field(default=2.0, ge=1)
    token_grant: int = Field(default=100_000, ge=0, description="the quota that an emptied field can mean")

    pipedrive_daily_tokens: int = Field(default=30_000, gt=0, description="the company's budget for a day")
    pipedrive_budget_share: float = Field(default=0.2, gt=0, le=1)
    pipedrive_burst: int = Field(default=20, gt=0, description="requests in two seconds; read from headers")
    pipedrive_time_zone: str = Field(default="UTC", description="at whose midnight the budget starts anew")
    pipedrive_timeout_s: float = Field(default=20.0, gt=0)

    pipedrive_write_every_s: float = Field(
        default=900, gt=0, description="least time between two writes of a person"
    )
    pipedrive_send_every_s: float = Field(default=2, gt=0)
    pipedrive_reconcile_every_s: float = Field(default=900, gt=0)
    pipedrive_reconcile_full_every_s: float = Field(default=86_400, gt=0)
    pipedrive_supervise_every_s: float = Field(default=3_600, gt=0)
    inbox_sweep_every_s: float = Field(default=10, gt=0)
    pipedrive_notifications_max: int = Field(default=50, gt=0, description="handled at the same time")

    @field_validator("pipedrive_base_url", "dist_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.netloc):
            raise ValueError("must be an http(s) URL")
        return value.rstrip("/")

    @field_validator("pipedrive_time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("must be a name such as Europe/Berlin") from None
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.pipedrive_time_zone)

    @property
    def field_names(self) -> dict[str, str]:
        return {
            "quota": self.pipedrive_quota_field,
            "used": self.pipedrive_used_field,
            "balance": self.pipedrive_balance_field,
            "user_id": self.pipedrive_user_field,
        }

    @property
    def policy(self) -> Policy:
        return Policy(
            on_cleared=self.pipedrive_on_cleared,
            default_quota=self.token_grant,
            confirm_factor=self.pipedrive_confirm_factor,
            can_ask=bool(self.pipedrive_token),
            on_deleted=self.pipedrive_on_deleted,
        )

    @property
    def budget(self) -> DailyBudget:
        return DailyBudget(tokens=self.pipedrive_daily_tokens, share=self.pipedrive_budget_share)

    @property
    def write_every(self) -> timedelta:
        return timedelta(seconds=self.pipedrive_write_every_s)

    @property
    def subscription(self) -> Subscription | None:
        """The webhook that we keep; None when it is not said where the product can be reached."""
        if not self.dist_url or not self.int_password:
            return None
        return Subscription(url=self.dist_url + WEBHOOK_PATH, user=self.int_user, password=self.int_password)
