"""A quota is absolute: whatever the order and however often, the newest is in force and usage stays used."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Malformed
from usage_ledger.domain.account import Account, Profile, Terms, open_account, post
from usage_ledger.domain.quota import QuotaSetting, open_with_quota, set_quota

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TERMS = Terms(token_balance=1_000, token_grant=400, grant_period=timedelta())


def opened(balance: int = 1_000) -> Account:
    terms = replace(TERMS, token_balance=balance)
    return open_account(Profile(user_id="u1"), terms, at=NOW).after


def setting(quota: int, *, at_s: int = 0, event: str = "e1") -> QuotaSetting:
    return QuotaSetting(
        profile=Profile(user_id="u1", email="ann@example.com"),
        quota=quota,
        effective_at=NOW + timedelta(seconds=at_s),
        source_event=event,
        actor="pipedrive:user:7",
        reason="quota of person 8 set in Pipedrive",
    )


def test_the_first_quota_stands_in_place_of_the_first_balance():
    outcome = set_quota(opened(), setting(5_000), opening_tokens=1_000, at=NOW)
    assert outcome.status == "applied"
    assert (outcome.account.balance, outcome.account.available) == (5_000, 5_000)
    assert (outcome.account.quota, outcome.account.token_grant) == (5_000, 5_000)


def test_what_was_used_stays_used_also_below_zero():
    used, _ = post(opened(), row_id="x", kind="usage", tokens=-700, actor="a", reason="r", at=NOW)
    outcome = set_quota(used, setting(500), opening_tokens=1_000, at=NOW)
    assert outcome.account.balance == -200


def test_a_row_names_its_event_its_actor_and_both_quotas():
    first = set_quota(opened(), setting(5_000), opening_tokens=1_000, at=NOW)
    second = set_quota(first.account, setting(3_000, at_s=1, event="e2"), opening_tokens=1_000, at=NOW)
    assert second.posting is not None
    (row,) = second.posting.rows
    assert (row.kind, row.tokens, row.id) == ("quota", -2_000, "quota:u1:e2")
    assert (row.actor, row.details["source_event"]) == ("pipedrive:user:7", "e2")
    assert (row.details["quota_before"], row.details["quota_after"]) == (5_000, 3_000)


def test_the_same_value_again_moves_nothing_but_is_newer():
    first = set_quota(opened(), setting(5_000), opening_tokens=1_000, at=NOW).account
    again = set_quota(first, setting(5_000, at_s=5, event="e2"), opening_tokens=1_000, at=NOW)
    assert (again.status, again.account.balance) == ("unchanged", 5_000)
    assert again.posting is not None
    assert again.posting.rows == ()
    late = set_quota(again.account, setting(9_000, at_s=3, event="e3"), opening_tokens=1_000, at=NOW)
    assert (late.status, late.posting) == ("stale", None)


def test_the_same_event_again_changes_nothing():
    first = set_quota(opened(), setting(5_000), opening_tokens=1_000, at=NOW).account
    assert set_quota(first, setting(5_000), opening_tokens=1_000, at=NOW).posting is None


def test_an_unknown_user_starts_with_the_quota():
    outcome = open_with_quota(setting(5_000), TERMS, at=NOW)
    assert outcome.account.balance == 5_000
    assert outcome.posting is not None
    assert [(row.kind, row.tokens, row.sequence) for row in outcome.posting.rows] == [
        ("opening", 0, 1),
        ("quota", 5_000, 2),
    ]
    later = set_quota(outcome.account, setting(6_000, at_s=1, event="e2"), opening_tokens=0, at=NOW)
    assert later.account.balance == 6_000


def test_a_quota_pays_for_a_message_that_was_refused():
    refused = replace(opened(10), refused_at=NOW)
    assert set_quota(refused, setting(50), opening_tokens=10, at=NOW).account.refused_at is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"quota": -1},
        {"quota": 2**53 + 1},
        {"actor": " "},
        {"reason": ""},
        {"source_event": ""},
        {"effective_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - without a zone is what is wrong
    ],
)
def test_what_no_account_could_take_is_malformed(wrong):
    with pytest.raises(Malformed):
        set_quota(opened(), replace(setting(5), **wrong), opening_tokens=0, at=NOW)


settings = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 20)), min_size=1, max_size=30)


@given(settings, st.integers(0, 2_000), st.booleans(), st.randoms())
def test_any_order_with_any_repeats_ends_with_the_newest_quota_less_what_was_used(
    said, used, is_known, shuffle: random.Random
):
    ordered = [setting(quota, at_s=at_s, event=f"e{n:02d}") for n, (quota, at_s) in enumerate(said)]
    sent = [*ordered, *shuffle.choices(ordered, k=len(ordered))]
    shuffle.shuffle(sent)
    newest = max(ordered, key=lambda one: (one.effective_at, one.source_event))
    account = opened() if is_known else open_with_quota(sent[0], TERMS, at=NOW).account
    opening_tokens = 1_000 if is_known else 0
    account, _ = post(account, row_id="x", kind="usage", tokens=-used, actor="a", reason="r", at=NOW)
    for one in sent:
        account = set_quota(account, one, opening_tokens=opening_tokens, at=NOW).account
    assert account.quota == newest.quota
    assert account.balance == newest.quota - used
    assert account.available == account.balance
