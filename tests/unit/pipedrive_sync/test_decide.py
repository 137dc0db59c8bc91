"""What is done about a notification, whatever came before it."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_sync.domain.decide import Apply, Confirm, InForce, Keep, Policy, Stale, Wait, decide
from pipedrive_sync.domain.notice import Cleared, QuotaNotice, Subject, Version, Wanted, wanted_of

T0 = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POLICY = Policy(on_cleared="keep", default_quota=100, confirm_factor=2.0, can_ask=True)
TRUSTING = Policy(on_cleared="keep", default_quota=100, confirm_factor=2.0, can_ask=False)


def notice(
    value: object, *, at_s: int = 0, event: str = "e", source: str = "webhook", person_id: int | None = 8
):
    wanted: Wanted = wanted_of(value)
    return QuotaNotice.model_validate(
        {
            "subject": Subject(person_id=person_id, user_ref="u1"),
            "wanted": wanted,
            "version": Version(at=T0 + timedelta(seconds=at_s), event=event),
            "source": source,
            "actor": "a",
            "reason": "r",
        }
    )


def in_force(quota: int, *, at_s: int = 0, event: str = "e") -> InForce:
    return InForce(quota=quota, version=Version(at=T0 + timedelta(seconds=at_s), event=event))


def test_a_newer_quota_is_applied():
    assert decide(notice(150, at_s=1), in_force(100), POLICY) == Apply(150)


@pytest.mark.parametrize(("at_s", "event"), [(0, "e"), (-1, "z"), (0, "a")])
def test_an_older_one_or_the_same_is_stale(at_s, event):
    assert decide(notice(150, at_s=at_s, event=event), in_force(100), POLICY) == Stale(differs=True)
    assert decide(notice(100, at_s=at_s, event=event), in_force(100), POLICY) == Stale(differs=False)


def test_of_two_at_the_same_time_the_greater_event_wins():
    assert decide(notice(150, event="f"), in_force(100, event="e"), POLICY) == Apply(150)


def test_the_same_value_later_still_counts_as_newer():
    assert decide(notice(100, at_s=1), in_force(100), POLICY) == Apply(100)


@pytest.mark.parametrize("quota", [201, 10_000])
def test_a_large_raise_is_confirmed_first(quota):
    assert decide(notice(quota, at_s=1), in_force(100), POLICY) == Confirm()


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        (notice(10_000, at_s=1, source="reading"), POLICY),
        (notice(10_000, at_s=1, source="operator"), POLICY),
        (notice(10_000, at_s=1, person_id=None), POLICY),
        (notice(10_000, at_s=1), TRUSTING),
        (notice(200, at_s=1), POLICY),
        (notice(0, at_s=1), POLICY),
    ],
)
def test_what_is_believed_or_small_or_cannot_be_asked_is_applied_at_once(said, policy):
    assert isinstance(decide(said, in_force(100), policy), Apply)


def test_the_first_quota_of_a_user_is_confirmed():
    assert decide(notice(1), InForce(), POLICY) == Confirm()
    assert decide(notice(0), InForce(), POLICY) == Apply(0)


@pytest.mark.parametrize(("on_cleared", "tokens"), [("default", 100), ("suspend", 0)])
def test_a_cleared_field_follows_the_setting(on_cleared, tokens):
    policy = Policy(on_cleared=on_cleared, default_quota=100, confirm_factor=2.0, can_ask=True)
    assert decide(notice(None, at_s=1), in_force(90), policy) == Apply(tokens)
    assert isinstance(decide(notice(None, at_s=1), in_force(90), POLICY), Keep)


@pytest.mark.parametrize(
    ("value", "why"), [(-5, "negative"), ("many", "not_a_number"), ("1.000", "ambiguous")]
)
def test_what_is_no_quota_waits_unless_it_is_old(value, why):
    assert decide(notice(value, at_s=1), in_force(100), POLICY) == Wait(why)
    assert isinstance(decide(notice(value, at_s=-1), in_force(100), POLICY), Stale)


def run(notices: list[QuotaNotice]) -> InForce:
    """Apply as the ledger does."""
    current = InForce()
    for said in notices:
        decision = decide(said, current, TRUSTING)
        if isinstance(decision, Apply):
            current = InForce(quota=decision.tokens, version=said.version)
    return current


values = st.one_of(st.integers(0, 1000), st.none(), st.just(-1), st.just("many"))
events = st.tuples(values, st.integers(0, 30))


@given(st.lists(events, max_size=40), st.randoms())
def test_any_order_with_any_repeats_ends_as_in_order(said, shuffle: random.Random):
    notices = [notice(value, at_s=at_s, event=f"e{n:03d}") for n, (value, at_s) in enumerate(said)]
    in_order = sorted(notices, key=lambda one: one.version.place)
    shuffled = [*notices, *shuffle.choices(notices, k=len(notices))] if notices else []
    shuffle.shuffle(shuffled)
    assert run(shuffled) == run(in_order)


def test_a_cleared_field_is_not_a_quota_of_zero():
    assert isinstance(decide(notice(None, at_s=1), in_force(5), POLICY), Keep)
    assert notice("").wanted == Cleared()
