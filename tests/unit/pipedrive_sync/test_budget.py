"""Never more than half of the burst limit, never more than our share of the day."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_sync.domain.budget import (
    BURST_WINDOW_S,
    BurstWindow,
    DailyBudget,
    day_of,
    leaves_too_little,
    next_midnight,
)


@given(st.lists(st.floats(0, 3), max_size=80), st.integers(2, 40))
def test_in_any_two_seconds_at_most_half_of_the_limit_is_sent(gaps, limit):
    window, now_s, sent = BurstWindow(limit), 0.0, []
    for gap_s in gaps:
        now_s += gap_s
        now_s += window.wait_s(now_s)
        window.sent(now_s)
        sent.append(now_s)
    for at_s in sent:
        assert len([one for one in sent if at_s <= one < at_s + BURST_WINDOW_S]) <= limit // 2


def test_a_plan_with_a_higher_limit_is_learned():
    window = BurstWindow(4)
    window.sent(0.0)
    window.sent(0.0)
    assert window.wait_s(0.1) > 0
    window.learn(40)
    assert window.wait_s(0.1) == 0


def test_what_matters_less_stops_earlier_and_reading_goes_on():
    budget = DailyBudget(tokens=30_000, share=0.2)
    assert budget.cap == 6_000
    allowances = [budget.allowance(p) for p in ("refresh", "level", "exhausted", "read")]
    assert allowances == sorted(allowances)
    assert allowances[-1] == budget.cap


@pytest.mark.parametrize(
    ("purpose", "stops"), [("refresh", True), ("exhausted", True), ("read", False), ("probe", False)]
)
def test_writes_stop_when_the_company_has_little_left(purpose, stops):
    assert leaves_too_little(purpose, remaining=7_000, limit=30_000) is stops
    assert not leaves_too_little(purpose, remaining=8_000, limit=30_000)
    assert not leaves_too_little(purpose, remaining=None, limit=None)


def test_the_day_begins_at_midnight_of_pipedrives_zone():
    berlin = ZoneInfo("Europe/Berlin")
    late = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    assert day_of(late, berlin) == "2026-11-23"
    assert next_midnight(late, berlin) == datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
    assert next_midnight(late, ZoneInfo("UTC")) == datetime(2026, 11, 23, tzinfo=UTC)
