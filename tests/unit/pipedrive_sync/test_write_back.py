"""Which figures go to Pipedrive next, and when."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_sync.domain.write_back import (
    WRITES_MAX,
    WRITES_WINDOW,
    Figures,
    Sent,
    Urgency,
    due_at,
    urgency,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EVERY = timedelta(minutes=15)


def sent(balance: int, quota: int | None = 100, at: datetime = NOW - timedelta(minutes=1)) -> Sent:
    return Sent(figures=Figures(used=0, balance=balance), quota=quota, at=at)


@pytest.mark.parametrize(
    ("balance", "before", "level"),
    [
        (0, sent(5), Urgency.EXHAUSTED),
        (-5, sent(100), Urgency.EXHAUSTED),
        (0, None, Urgency.EXHAUSTED),
        (-9, sent(-5), Urgency.REFRESH),
        (19, sent(90), Urgency.LEVEL_CROSSED),
        (20, sent(21), Urgency.LEVEL_CROSSED),
        (90, sent(10), Urgency.LEVEL_CROSSED),
        (10, sent(15), Urgency.REFRESH),
        (50, sent(90), Urgency.REFRESH),
        (50, None, Urgency.REFRESH),
        (10, None, Urgency.LEVEL_CROSSED),
    ],
)
def test_used_up_goes_first_then_what_crossed_a_level(balance, before, level):
    assert urgency(Figures(used=0, balance=balance), 100, before) is level


def test_without_a_quota_there_are_no_levels():
    assert urgency(Figures(used=0, balance=1), None, sent(100, None)) is Urgency.REFRESH


def test_a_person_is_written_again_only_after_a_while_unless_all_is_used_up():
    last = sent(50)
    assert due_at(Urgency.REFRESH, changed_at=NOW, sent=last, writes=[], every=EVERY) == last.at + EVERY
    assert due_at(Urgency.EXHAUSTED, changed_at=NOW, sent=last, writes=[], every=EVERY) == NOW
    assert due_at(Urgency.REFRESH, changed_at=NOW, sent=None, writes=[], every=EVERY) == NOW


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=60))
def test_no_person_is_written_more_often_than_the_breaker_allows(changes):
    """Every change exhausts anew: the worst case. Writes are made as soon as they are due."""
    writes: list[datetime] = []
    all_writes: list[datetime] = []
    for at_s in sorted(changes):
        changed_at = max(NOW + timedelta(seconds=at_s), writes[-1] if writes else NOW)
        due = due_at(Urgency.EXHAUSTED, changed_at=changed_at, sent=None, writes=writes, every=EVERY)
        writes = [*writes, due][-WRITES_MAX:]
        all_writes.append(due)
    for first, last in zip(all_writes, all_writes[WRITES_MAX:], strict=False):
        assert last - first >= WRITES_WINDOW
