"""Settings of the ledger, beside those of every service."""

from datetime import timedelta

from pydantic import Field, field_validator

from common.settings import CommonSettings
from usage_ledger.domain.account import Terms


class Settings(CommonSettings):
    token_balance: int = Field(default=100_000, ge=0, description="first balance of a new user")
    token_grant: int = Field(
        default=100_000, ge=0, description="grant of a new user, once depleted; 0 is none"
    )
    token_grant_period: timedelta = Field(
        default=timedelta(), description="ISO 8601: how long after a grant the next one may come"
    )
    hold_ttl_s: int = Field(
        default=900,
        ge=330,
        description="after this a hold is looked into; longer than a message may wait to be taken up",
    )
    sweep_every_s: float = Field(default=10, gt=0)
    fold_every_s: float = Field(default=5, gt=0)
    audit_every_s: float = Field(default=60, ge=0, description="audit of what is new; 0 is off")
    settle_batch_max: int = Field(default=50, gt=0, le=500)
    rpc_prefetch: int = Field(default=50, gt=0)

    @field_validator("token_grant_period")
    @classmethod
    def _period_is_not_negative(cls, period: timedelta) -> timedelta:
        if period < timedelta():
            raise ValueError("must not be negative")
        return period

    @property
    def hold_ttl(self) -> timedelta:
        return timedelta(seconds=self.hold_ttl_s)

    @property
    def terms(self) -> Terms:
        return Terms(
            token_balance=self.token_balance,
            token_grant=self.token_grant,
            grant_period=self.token_grant_period,
        )
