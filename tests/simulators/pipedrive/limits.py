"""The two limits of the API: requests in any two seconds, tokens a day."""

import re
from collections import deque
from datetime import UTC, datetime, tzinfo
from typing import Literal

from common.clock import Clock

BURST_WINDOW_S = 2.0

_COSTS = (
    ("GET", r"/v2/(persons|organizations)/search", 20),
    ("GET", r"/v2/(persons|organizations)/\d+", 1),
    ("PATCH", r"/v2/(persons|organizations)/\d+", 5),
    ("DELETE", r"/v2/(persons|organizations)/\d+", 3),
    ("GET", r"/v2/(persons|organizations)", 10),
    ("POST", r"/v2/(persons|organizations)", 5),
    ("GET", r"/v2/personFields(/\w+)?", 10),
    ("POST", r"/v2/personFields", 5),
    ("PATCH", r"/v2/personFields/\w+", 5),
    ("DELETE", r"/v2/personFields/\w+", 3),
    ("GET", r"/v1/webhooks", 10),
    ("POST", r"/v1/webhooks", 10),
    ("DELETE", r"/v1/webhooks/\d+", 6),
    ("GET", r"/v1/users/me", 2),
)


def cost_of(method: str, path: str) -> int:
    """Return the tokens of one call; `path` begins with the version."""
    for of_method, pattern, tokens in _COSTS:
        if of_method == method and re.fullmatch(pattern, path):
            return tokens
    return 10


class Limits:
    """Counts what the calls of one company cost. Changes by hand and webhooks are free."""

    def __init__(
        self, clock: Clock, *, burst: int, daily_tokens: int, daily_headers: bool, zone: tzinfo = UTC
    ) -> None:
        """The day begins at midnight in `zone`."""
        self.burst = burst
        self.daily_tokens = daily_tokens
        self.daily_headers = daily_headers
        """The headers about the day are not documented, and are not always there."""
        self.spent: dict[str, int] = {}
        self.calls: list[tuple[datetime, str, str, int]] = []
        self.busiest = 0
        """The most requests that came within one burst window."""
        self._clock = clock
        self._zone = zone
        self._recent: deque[float] = deque()

    @property
    def today(self) -> str:
        return self._clock.now().astimezone(self._zone).strftime("%Y-%m-%d")

    @property
    def daily_left(self) -> int:
        return max(0, self.daily_tokens - self.spent.get(self.today, 0))

    def admit(self, method: str, path: str) -> Literal["burst", "daily"] | None:
        """Count a call, or say which limit refuses it."""
        now_s = self._clock.monotonic_s()
        while self._recent and now_s - self._recent[0] >= BURST_WINDOW_S:
            self._recent.popleft()
        cost = cost_of(method, path)
        self.calls.append((self._clock.now(), method, path, cost))
        if len(self._recent) >= self.burst:
            return "burst"
        if self.daily_left < cost:
            return "daily"
        self._recent.append(now_s)
        self.busiest = max(self.busiest, len(self._recent))
        self.spent[self.today] = self.spent.get(self.today, 0) + cost
        return None

    def headers(self) -> dict[str, str]:
        headers = {
            "x-ratelimit-limit": str(self.burst),
            "x-ratelimit-remaining": str(max(0, self.burst - len(self._recent))),
            "x-ratelimit-reset": str(int(BURST_WINDOW_S)),
        }
        if self.daily_headers:
            headers |= {
                "x-daily-ratelimit-token-limit": str(self.daily_tokens),
                "x-daily-ratelimit-token-remaining": str(self.daily_left),
            }
        return headers
