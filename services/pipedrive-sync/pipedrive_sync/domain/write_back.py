"""Which person's figures are written to Pipedrive next, and when: few writes, the important ones first."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

WRITES_MAX = 5
WRITES_WINDOW = timedelta(minutes=10)
"""More writes of one person than this are a loop, whatever causes it."""

_LEVELS_PERCENT = (80, 100)


class Urgency(IntEnum):
    """Lower goes first."""

    EXHAUSTED = 0
    LEVEL_CROSSED = 1
    REFRESH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What we write: tokens used ever, and the balance."""

    used: int
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    figures: Figures
    quota: int | None
    at: datetime


def urgency(figures: Figures, quota: int | None, sent: Sent | None) -> Urgency:
    """Say how urgent it is that Pipedrive shows these figures instead of those that it has."""
    before = sent.figures.balance if sent else None
    if figures.balance <= 0 and (before is None or before > 0):
        return Urgency.EXHAUSTED
    level_before = _level(sent.figures.balance, sent.quota) if sent else 0
    return Urgency.LEVEL_CROSSED if _level(figures.balance, quota) != level_before else Urgency.REFRESH


def due_at(
    level: Urgency, *, changed_at: datetime, sent: Sent | None, writes: list[datetime], every: timedelta
) -> datetime:
    """Say from when on the write may be made. All changes until then go in one write."""
    earliest = changed_at
    if level is not Urgency.EXHAUSTED and sent is not None:
        earliest = max(earliest, sent.at + every)
    if len(writes) >= WRITES_MAX:
        earliest = max(earliest, sorted(writes)[-WRITES_MAX] + WRITES_WINDOW)
    return earliest


def _level(balance: int, quota: int | None) -> int:
    """Count the levels of use that are reached."""
    if not quota:
        return 0
    used_percent = 100 * (quota - balance) / quota
    return sum(used_percent >= level for level in _LEVELS_PERCENT)
