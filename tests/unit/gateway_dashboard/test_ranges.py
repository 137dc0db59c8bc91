"""From what an address says to a span in UTC."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Malformed
from common.usage_rollup import QUARTER, local_days, quarter_start
from gateway.dashboard.ranges import DAYS_MAX, read_range
from support.ledger_rows import ALL_ZONES

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
days = st.dates(datetime(2001, 1, 1).date(), datetime(2099, 1, 1).date())  # noqa: DTZ001


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_a_date_is_that_whole_day_in_the_zone_at_both_ends():
    asked = read_range("2026-11-22", "2026-11-22", "Asia/Kathmandu", now=NOW)
    assert (asked.span.start, asked.span.end) == (at("2026-11-21T18:15Z"), at("2026-11-22T18:15Z"))


@pytest.mark.parametrize("day", ["20261122", "2026-W47-7", "2026W477"])
def test_every_form_of_a_date_is_that_whole_day(day: str):
    assert read_range(day, day, "UTC", now=NOW) == read_range("2026-11-22", "2026-11-22", "UTC", now=NOW)


def test_the_days_before_are_as_many_where_the_clock_skips_a_midnight():
    asked = read_range("2026-04-24", "2026-04-24", "Africa/Cairo", now=NOW)
    assert asked.previous() == read_range("2026-04-23", "2026-04-23", "Africa/Cairo", now=NOW).span


@pytest.mark.parametrize(
    ("zone", "day", "before"),
    [("Atlantic/Azores", "2026-10-25", "2026-10-24"), ("America/Havana", "2026-11-01", "2026-10-31")],
)
def test_the_days_before_are_as_many_where_a_midnight_comes_twice(zone: str, day: str, before: str):
    asked = read_range(day, day, zone, now=NOW)
    assert asked.span.end - asked.span.start == timedelta(hours=25)
    assert asked.previous() == read_range(before, before, zone, now=NOW).span


def test_a_bound_is_cut_to_the_millisecond_of_the_database():
    asked = read_range("2026-11-01T10:00:00.123999Z", "2026-11-02", "UTC", now=NOW)
    assert asked.span.start.microsecond == 123_000


def test_a_beginning_alone_that_is_too_long_ago_is_the_one_at_fault():
    with pytest.raises(Malformed) as refused:
        read_range("2025-01-01", None, "UTC", now=NOW)
    assert refused.value.extra["parameters"][0]["name"] == "date_from"


def test_a_day_on_which_the_clock_goes_back_has_25_hours():
    asked = read_range("2026-10-25", "2026-10-25", "Europe/Berlin", now=NOW)
    assert asked.span.end - asked.span.start == timedelta(hours=25)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00Z"),
        ("2026-11-01T10:00:00.250+01:00", "2026-11-01T09:00:00.250Z"),
        ("2026-11-01T10:00:00 01:00", "2026-11-01T09:00Z"),
        ("2026-11-01T10:00", "2026-11-01T15:00Z"),
        ("20261101T100000Z", "2026-11-01T10:00Z"),
    ],
)
def test_a_time_is_taken_as_it_stands_and_without_an_offset_in_the_zone(text: str, expected: str):
    asked = read_range(text, "2026-11-20", "America/New_York", now=NOW)
    assert asked.span.start == at(expected)


def test_by_default_it_is_the_last_30_days_with_today():
    asked = read_range(None, None, "Pacific/Auckland", now=NOW)
    assert asked.span.end.astimezone(asked.zone).date().isoformat() == "2026-11-24"
    assert len(list(local_days(asked.span, asked.zone))) == 30


def test_the_previous_period_of_whole_days_has_as_many_days():
    asked = read_range("2026-03-16", "2026-03-31", "Europe/Berlin", now=NOW)
    before = asked.previous()
    assert before.end == asked.span.start
    assert before.start == at("2026-02-28T00:00+01:00")


def test_the_previous_period_of_hours_has_as_many_hours():
    asked = read_range("2026-03-16T10:00Z", "2026-03-16T13:30Z", "UTC", now=NOW)
    assert asked.previous().start == at("2026-03-16T06:30Z")


@given(first=days, length=st.integers(0, DAYS_MAX - 1), zone=st.sampled_from(ALL_ZONES))
def test_days_are_cut_at_quarters_of_an_hour_in_every_zone(first, length: int, zone: str):
    last = first + timedelta(days=length)
    asked = read_range(first.isoformat(), last.isoformat(), zone, now=NOW)
    parts = list(local_days(asked.span, asked.zone))
    assert [part.start for _, part in parts] == [quarter_start(part.start) for _, part in parts]
    assert all((part.end - part.start) % QUARTER == timedelta() for _, part in parts)
    # One day is missing where a zone crossed the date line.
    assert len(parts) in {length + 1, length}
    assert asked.previous().end == asked.span.start


WRONG = [
    ("yesterday", None, "UTC", "date_from"),
    ("2026-02-30", None, "UTC", "date_from"),
    ("2026-11-01T25:00", None, "UTC", "date_from"),
    ("", None, "UTC", "date_from"),
    ("0001-01-01", None, "UTC", "date_from"),
    ("9999-12-31", None, "UTC", "date_from"),
    ("1e400", None, "UTC", "date_from"),
    ("NaN", None, "UTC", "date_from"),
    ('{"$gt":""}', None, "UTC", "date_from"),
    ("9223372036854775808", None, "UTC", "date_from"),
    ("2026-11-02", "2026-11-01", "UTC", "date_to"),
    ("2026-11-01T10:00Z", "2026-11-01T10:00Z", "UTC", "date_to"),
    ("2026-11-01", "soon", "UTC", "date_to"),
    ("2025-01-01", "2026-01-02", "UTC", "date_to"),
    (None, None, "Mars/Olympus", "tz"),
    (None, None, "", "tz"),
    (None, None, "../../etc/passwd", "tz"),
    (None, None, "/etc/localtime", "tz"),
    (None, None, "localtime", "tz"),
    (None, None, "right/Europe/Berlin", "tz"),
    (None, None, "Europe", "tz"),
    (None, None, '{"$ne":1}', "tz"),
]


@pytest.mark.parametrize(("date_from", "date_to", "tz", "name"), WRONG)
def test_what_is_no_range_is_refused_by_the_parameter(
    date_from: str | None, date_to: str | None, tz: str, name: str
):
    with pytest.raises(Malformed) as refused:
        read_range(date_from, date_to, tz, now=NOW)
    (parameter,) = refused.value.extra["parameters"]
    assert parameter["name"] == name
    assert parameter["reason"]


def test_a_leap_year_is_not_too_long():
    asked = read_range("2028-01-01", "2028-12-31", "Europe/Berlin", now=NOW)
    assert len(list(local_days(asked.span, asked.zone))) == 366


@given(text=st.text(max_size=40))
def test_no_text_is_an_internal_error(text: str):
    with suppress(Malformed):
        assert read_range(text, None, "UTC", now=NOW).span.start < NOW + timedelta(days=1)
