"""How long the oldest message of a queue has waited, from what the broker remembers of the queue."""

from datetime import UTC, datetime

import pytest

from gateway.dashboard.management import HISTORY_S, Age, Samples, oldest_age

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def samples(*values: int) -> Samples:
    """Values of now, half a minute ago, and so on."""
    return [(NOW.timestamp() - 30 * n, value) for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("lengths", "acked", "expected"),
    [
        ((), (), None),
        ((0, 0, 0), (5, 5, 5), None),
        ((0, 7, 7), (9, 2, 2), None),
        ((3, 3, 3, 0), (), 60),
        ((3, 0, 3), (), 0),
        # Three wait, and two were done in each half minute: the oldest came within the last minute.
        ((3, 3, 3, 3), (6, 4, 2, 0), 30),
        # Nothing was done for a minute.
        ((5, 4, 2, 2), (6, 6, 6, 0), 60),
    ],
)
def test_the_oldest_has_waited_since_what_was_before_it_was_done(
    lengths: tuple[int, ...], acked: tuple[int, ...], expected: float | None
):
    age = oldest_age(samples(*lengths), samples(*acked), now=NOW)
    assert (age and age.seconds) == expected
    assert age is None or not age.is_at_least


@pytest.mark.parametrize(("before", "is_at_least"), [((), True), ((0,), False)])
def test_what_has_waited_for_all_that_the_broker_remembers_may_be_older(
    before: tuple[int, ...],
    is_at_least: bool,  # noqa: FBT001
):
    hour = (1,) * (HISTORY_S // 30 + 1)
    assert oldest_age(samples(*hour, *before), (), now=NOW) == Age(HISTORY_S, is_at_least=is_at_least)


def test_the_age_in_a_queue_younger_than_an_hour_is_known():
    assert oldest_age(samples(1, 1, 1), (), now=NOW) == Age(60)
