"""What every event and command on the queue has in common.

An event is a public API: past tense, versioned, literal types only, add-only. Readers ignore unknown
fields. A break is a new `…V2`, published beside V1 until all readers have moved. The JSON schemas are
kept in `contracts/events`, and a test fails when they drift.
"""

from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Message(BaseModel):
    """A body with a name and a version. Its routing key is `<name>.v<version>`."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_timedelta="iso8601")

    name: ClassVar[str]
    version: ClassVar[int] = 1
    needs_listener: ClassVar[bool] = True
    """Publishing it with nobody bound is a failure. False for news that only a live process can use."""

    @classmethod
    def routing_key(cls) -> str:
        return f"{cls.name}.v{cls.version}"


class Event(Message):
    """A fact. `event_id` is the message id: the same fact is always published under the same id."""

    event_id: str
    occurred_at: datetime


class Command(Message):
    """A request to one owner, answered by a reply. `request_id` makes a repeat harmless."""

    request_id: str


class Company(BaseModel):
    """The customer's company that a user belongs to, as the session names it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str


class TokenUsage(BaseModel):
    """Tokens of one run as the provider counts them. Cached are part of input, reasoning of output."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_tokens: int = Field(default=0, ge=0)
    cached_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    reasoning_tokens: int = Field(default=0, ge=0)

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens
