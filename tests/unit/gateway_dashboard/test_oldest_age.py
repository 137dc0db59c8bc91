"""How long the oldest message of a queue has waited, from what the broker remembers of the queue."""

from datetime import UTC, datetime

import pytest

from gateway.dashboard.management import Samples, oldest_age_s

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
    assert oldest_age_s(samples(*lengths), samples(*acked), now=NOW) == expected
