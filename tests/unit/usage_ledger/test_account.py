from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from common.errors import Conflict, Malformed
from support.holds import with_hold
from usage_ledger.domain.account import (
    CLOSED_RUNS_MAX,
    Account,
    Adjustment,
    Hold,
    HoldRequest,
    Profile,
    Terms,
    adjust,
    grant_if_due,
    next_grant_at,
    open_account,
    without_hold,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TERMS = Terms(token_balance=1_000, token_grant=400, grant_period=timedelta())
MONTHLY = replace(TERMS, grant_period=timedelta(days=30))


def account(**fields: object) -> Account:
    opened = open_account(Profile(user_id="u1"), TERMS, at=NOW).after
    return replace(opened, **fields)


def with_balance(balance: int, **fields: object) -> Account:
    return account(balance=balance, available=balance, **fields)


def hold(run_id: str, tokens: int) -> Hold:
    return Hold(run_id=run_id, tokens=tokens, placed_at=NOW, expires_at=NOW + timedelta(minutes=15))


def adjustment(**fields: object) -> Adjustment:
    asked = Adjustment(
        request_id="q1",
        user_id="u1",
        actor="op",
        reason="goodwill",
        token_balance=None,
        token_grant=None,
        expected_balance=None,
    )
    return replace(asked, **fields)


class TestOpening:
    def test_the_first_balance_is_a_row(self):
        posting = open_account(Profile(user_id="u1"), TERMS, at=NOW)
        row = posting.rows[0]
        assert (row.id, row.kind, row.tokens) == ("open:u1", "opening", 1_000)
        assert (row.balance_before, row.balance_after, row.sequence) == (0, 1_000, 1)
        assert (posting.after.balance, posting.after.available, posting.after.sequence) == (1_000, 1_000, 1)


class TestHoldSize:
    request = HoldRequest(
        run_id="r1",
        user_id="u1",
        input_tokens=100,
        output_tokens_min=50,
        output_tokens_max=500,
        open_holds_max=3,
    )

    @pytest.mark.parametrize(
        ("available", "size"), [(10_000, 600), (600, 600), (599, 599), (150, 150), (149, None), (-5, None)]
    )
    def test_as_much_output_as_the_balance_pays_for(self, available: int, size: int | None):
        assert self.request.size(available) == size


class TestHolds:
    def test_a_hold_takes_from_what_is_available_and_not_from_the_balance(self):
        held = with_hold(account(), hold("r1", 300))
        assert (held.balance, held.held, held.available) == (1_000, 300, 700)

    def test_a_closed_hold_is_available_again_and_its_run_is_remembered(self):
        closed = without_hold(with_hold(account(), hold("r1", 300)), "r1")
        assert (closed.held, closed.available, closed.holds) == (0, 1_000, ())
        assert closed.closed_run_ids == ("r1",)

    def test_closing_an_unknown_hold_gives_nothing_back(self):
        closed = without_hold(with_hold(account(), hold("r1", 300)), "other")
        assert (closed.held, closed.available) == (300, 700)
        assert closed.closed_run_ids == ("other",)

    def test_only_the_last_closed_runs_are_remembered(self):
        closed = account()
        for number in range(CLOSED_RUNS_MAX + 5):
            closed = without_hold(closed, f"r{number}")
        assert len(closed.closed_run_ids) == CLOSED_RUNS_MAX
        assert closed.closed_run_ids[-1] == f"r{CLOSED_RUNS_MAX + 4}"


class TestGrants:
    @pytest.mark.parametrize(("balance", "after"), [(0, 400), (-150, 250), (-1_000, -600)])
    def test_a_depleted_balance_gets_the_grant_added(self, balance: int, after: int):
        posting = grant_if_due(with_balance(balance), TERMS, now=NOW)
        assert posting is not None
        assert (posting.rows[0].id, posting.rows[0].tokens) == ("grant:u1:2", 400)
        assert (posting.after.balance, posting.after.granted_at) == (after, NOW)

    def test_a_rest_that_could_not_pay_for_a_message_counts_as_depleted(self):
        assert grant_if_due(with_balance(30), TERMS, now=NOW) is None
        posting = grant_if_due(with_balance(30, refused_at=NOW), TERMS, now=NOW)
        assert posting is not None
        assert (posting.after.balance, posting.after.refused_at) == (430, None)

    def test_a_refusal_does_not_count_while_an_answer_may_give_some_back(self):
        waiting = with_hold(with_balance(300, refused_at=NOW), hold("r1", 290))
        assert grant_if_due(waiting, TERMS, now=NOW) is None

    def test_no_grant_without_one_in_the_account(self):
        empty = with_balance(0, token_grant=0)
        assert grant_if_due(empty, TERMS, now=NOW) is None
        assert next_grant_at(empty, TERMS, now=NOW) is None

    def test_the_first_balance_counts_as_the_first_grant_of_a_period(self):
        empty = with_balance(0)
        due_at = NOW + MONTHLY.grant_period
        assert grant_if_due(empty, MONTHLY, now=due_at - timedelta(seconds=1)) is None
        assert grant_if_due(empty, MONTHLY, now=due_at) is not None
        assert next_grant_at(empty, MONTHLY, now=NOW) == due_at

    def test_the_period_counts_from_the_last_grant(self):
        granted = with_balance(0, granted_at=NOW + timedelta(days=10))
        assert next_grant_at(granted, MONTHLY, now=NOW) == NOW + timedelta(days=40)
        assert next_grant_at(granted, MONTHLY, now=NOW + timedelta(days=50)) == NOW + timedelta(days=50)


class TestAdjustment:
    def test_the_row_tells_before_and_after_who_and_why(self):
        posting = adjust(account(), adjustment(token_balance=250), at=NOW)
        row = posting.rows[0]
        assert (row.id, row.kind, row.tokens) == ("adjust:q1", "adjustment", -750)
        assert (row.balance_before, row.balance_after) == (1_000, 250)
        assert (row.actor, row.reason) == ("op", "goodwill")
        assert posting.after.available == 250

    def test_a_change_of_the_grant_alone_is_a_row_of_no_tokens(self):
        posting = adjust(account(), adjustment(token_grant=0), at=NOW)
        assert posting.rows[0].tokens == 0
        assert (posting.rows[0].details["grant_before"], posting.rows[0].details["grant_after"]) == (400, 0)
        assert posting.after.token_grant == 0

    def test_a_balance_that_moved_is_a_conflict(self):
        with pytest.raises(Conflict):
            adjust(account(), adjustment(token_balance=5, expected_balance=999), at=NOW)

    def test_a_rise_ends_what_a_refusal_began(self):
        refused = with_balance(10, refused_at=NOW)
        assert adjust(refused, adjustment(token_balance=5_000), at=NOW).after.refused_at is None
        assert adjust(refused, adjustment(token_grant=7), at=NOW).after.refused_at == NOW

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"token_grant": -1},
            {"token_balance": 2**60},
            {"token_balance": 1, "reason": " "},
            {"token_balance": 1, "actor": ""},
        ],
    )
    def test_what_cannot_be_is_malformed(self, fields: dict[str, object]):
        with pytest.raises(Malformed):
            adjust(account(), adjustment(**fields), at=NOW)
