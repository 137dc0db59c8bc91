"""How the simulator misbehaves: what the API answers instead, and what happens to webhooks on their way."""

import random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulators.pipedrive.webhook_shapes import ClearedForm, TimestampForm

ApiFaultKind = Literal[
    "burst",  # 429, with the wait in its headers unless `headers` is off
    "daily",  # 429 because the day's tokens are used up
    "blocked",  # 403 with an HTML page, as the CDN answers whoever goes on after 429
    "unauthorized",  # 401
    "page",  # 404 with an HTML page, as a proxy in front of it answers
    "forbidden",  # 403 as JSON: this record is not for us
    "error",  # 500
    "timeout",  # 524 with an HTML page
    "unsuccessful",  # 200 that says of itself that it was no success
    "null",  # 200 with a null body
    "no_data",  # 200 with null where the data should be
    "cut",  # the change is made, the answer is lost
]


class ApiFault(BaseModel):
    """One way to answer wrongly. Matches a method and the start of a path; `times` None is for ever."""

    model_config = ConfigDict(extra="forbid")

    kind: ApiFaultKind
    times: int | None = Field(default=1, ge=1)
    method: str | None = None
    path: str = ""
    headers: bool = True


class WebhookFaults(BaseModel):
    """What happens to webhooks from now on."""

    model_config = ConfigDict(extra="forbid")

    copies: int = Field(default=1, ge=1)
    """How often each is posted, under the same id; the second one says attempt 2."""
    delay_s_max: float = 0
    """Each is held back for up to so long, so that they overtake each other."""
    is_shuffled: bool = False
    timestamps: TimestampForm = "iso"
    cleared: ClearedForm = "null"


class Faults:
    """All faults that are on."""

    def __init__(self, *, seed: int = 1) -> None:
        self.api: list[ApiFault] = []
        self.webhooks = WebhookFaults()
        self._random = random.Random(seed)

    def clear(self) -> None:
        self.api.clear()
        self.webhooks = WebhookFaults()

    def pick(self, method: str, path: str) -> ApiFault | None:
        """Choose the fault of one call, and count it as used."""
        for fault in self.api:
            if fault.method in {None, method} and path.startswith(fault.path):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self.api.remove(fault)
                return fault
        return None

    @property
    def copies(self) -> int:
        return self.webhooks.copies

    @property
    def timestamps(self) -> TimestampForm:
        return self.webhooks.timestamps

    @property
    def cleared(self) -> ClearedForm:
        return self.webhooks.cleared

    def delivery_delay_s(self) -> float:
        return self._random.uniform(0, self.webhooks.delay_s_max)

    def shuffle(self, posts: list[Any]) -> None:
        if self.webhooks.is_shuffled:
            self._random.shuffle(posts)
