"""The time that a dashboard shows: from ISO 8601 and a zone to a span in UTC. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from common.errors import Malformed
from common.usage_rollup import Span

DAYS_MAX = 366
DAYS_SHOWN = 30
"""How far back a range without a beginning goes."""

_YEARS = range(2000, 2101)
_LOST_PLUS = re.compile(r" (?=[0-9]{2}:?[0-9]{2}$)")
"""In an address, a plus that is not escaped arrives as a blank."""

NOT_ZONES = {"localtime", "Factory"}


def malformed(name: str, reason: str, *, place: str = "query") -> Malformed:
    """Name a parameter and say what is wrong with it. What was sent is not repeated."""
    return Malformed(f"{name}: {reason}", parameters=[{"in": place, "name": name, "reason": reason}])


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A span, and the zone in which its days are counted."""

    span: Span
    zone: ZoneInfo

    def previous(self) -> Span:
        """Return the time of equal length before it: as many local days, or as many seconds."""
        start, end = (at.astimezone(self.zone) for at in (self.span.start, self.span.end))
        # In UTC: where clocks are turned back at midnight, Python calls no two times of two zones equal.
        if (_midnight(start.date(), self.zone), _midnight(end.date(), self.zone)) == (
            self.span.start,
            self.span.end,
        ):
            days = (end.date() - start.date()).days
            return Span(_midnight(start.date() - timedelta(days=days), self.zone), self.span.start)
        return Span(self.span.start - (self.span.end - self.span.start), self.span.start)


def read_range(
    date_from: str | None, date_to: str | None, tz: str, *, now: datetime, place: str = "query", at: str = ""
) -> Range:
    """Read the range of a report; by default the last 30 days, today included.

    A date without a time means that whole day, also as `date_to`; a time without an offset is one of the
    zone. A `date_to` with a time is the first moment that is not in the range. Raises Malformed; `at` is
    put before the parameters' names.
    """
    zone = read_zone(tz, place=place, at=at)
    today = now.astimezone(zone).date()
    end = read_bound(date_to, zone, name=f"{at}date_to", is_end=True, place=place)
    end = end or _midnight(today + timedelta(days=1), zone)
    start = read_bound(date_from, zone, name=f"{at}date_from", is_end=False, place=place)
    start = start or _shifted(end, zone, days=-DAYS_SHOWN)
    blamed = "date_from" if date_to is None else "date_to"
    check_order(start, end, zone, blamed=blamed, place=place, at=at)
    return Range(span=Span(start, end), zone=zone)


def check_order(
    start: datetime,
    end: datetime,
    zone: ZoneInfo,
    *,
    blamed: str = "date_to",
    place: str = "query",
    at: str = "",
) -> None:
    """Raises Malformed when a range is empty, reversed or too long; it blames the bound that was given."""
    if start >= end:
        reason = "not after date_from" if blamed == "date_to" else "after today"
        raise malformed(f"{at}{blamed}", reason, place=place)
    if end > _shifted(start, zone, days=DAYS_MAX):
        reason = "after date_from" if blamed == "date_to" else "ago, and there is no date_to"
        raise malformed(f"{at}{blamed}", f"more than {DAYS_MAX} days {reason}", place=place)


def read_bound(
    text: str | None, zone: ZoneInfo, *, name: str, is_end: bool, place: str = "query"
) -> datetime | None:
    """Read one end of a range; None stays None. Raises Malformed."""
    if text is None:
        return None
    try:
        if (day := _as_date(text)) is not None:
            _in_years(day)
            return _midnight(day + timedelta(days=1) if is_end else day, zone)
        at = datetime.fromisoformat(_LOST_PLUS.sub("+", text) if "T" in text else text)
        _in_years(at)
        # To the millisecond, which is as fine as the database keeps times.
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        reason = f"not a date or time of ISO 8601 between {_YEARS.start} and {_YEARS.stop - 1}"
        raise malformed(name, reason, place=place) from None


def read_zone(name: str, *, place: str = "query", at: str = "") -> ZoneInfo:
    """Find a zone of the IANA's. Raises Malformed."""
    if name not in _zones():
        raise malformed(f"{at}tz", "not a time zone of the IANA, such as Europe/Berlin", place=place)
    return ZoneInfo(name)


@cache
def _zones() -> frozenset[str]:
    # Without those of `right/`, which count leap seconds, and without what a machine may mean by "local".
    return frozenset(available_timezones() - NOT_ZONES)


def _as_date(text: str) -> date | None:
    """Read a date in any of the forms of ISO 8601: `2026-11-22`, `20261122`, `2026-W47-7`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _in_years(day: date) -> None:
    if day.year not in _YEARS:
        raise ValueError


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _shifted(at: datetime, zone: ZoneInfo, *, days: int) -> datetime:
    """Move by days of the zone, which are not always 24 hours long."""
    local = at.astimezone(zone)
    moved = datetime.combine(local.date() + timedelta(days=days), local.time(), zone)
    return moved.astimezone(UTC)
