"""How much of Pipedrive's API we may use: it is shared with all other tools of the company."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Literal

Purpose = Literal["read", "exhausted", "level", "refresh", "probe"]
"""What a call is for. Reading and supervision go on longest, so that repair is possible to the end."""

_SHARE_OF_CAP: dict[Purpose, float] = {
    "probe": 1.0,
    "read": 1.0,
    "exhausted": 0.85,
    "level": 0.75,
    "refresh": 0.65,
}
_LEFT_FOR_OTHERS = 0.25

BURST_WINDOW_S = 2.0
_WINDOW_MARGIN_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyBudget:
    """`tokens` is the company's budget for a day, `share` the part that we may spend."""

    tokens: int
    share: float

    @property
    def cap(self) -> int:
        return int(self.tokens * self.share)

    def allowance(self, purpose: Purpose) -> int:
        """Return up to how many tokens may be spent in a day when a call for this purpose is made."""
        return int(self.cap * _SHARE_OF_CAP[purpose])


def leaves_too_little(purpose: Purpose, *, remaining: int | None, limit: int | None) -> bool:
    """Tell whether writes must stop since the company as a whole has used up most of its day."""
    if purpose in {"read", "probe"} or remaining is None or not limit:
        return False
    return remaining < limit * _LEFT_FOR_OTHERS


class BurstWindow:
    """Counts requests in any two seconds; we take half of what the token may do."""

    def __init__(self, limit: int) -> None:
        self._sent_s: deque[float] = deque()
        self.learn(limit)

    def learn(self, limit: int) -> None:
        """Take over the limit that Pipedrive names."""
        self._requests_max = max(1, limit // 2)

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait until one more request may be sent; 0 is now."""
        window_s = BURST_WINDOW_S + _WINDOW_MARGIN_S
        while self._sent_s and now_s - self._sent_s[0] >= window_s:
            self._sent_s.popleft()
        if len(self._sent_s) < self._requests_max:
            return 0.0
        return self._sent_s[-self._requests_max] + window_s - now_s

    def sent(self, now_s: float) -> None:
        self._sent_s.append(now_s)


def day_of(now: datetime, zone: tzinfo) -> str:
    """Name the budget's day."""
    return now.astimezone(zone).date().isoformat()


def next_midnight(now: datetime, zone: tzinfo) -> datetime:
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), tzinfo=zone).astimezone(UTC)
