from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from common.errors import Malformed
from common.events.envelope import Company, TokenUsage
from support.holds import with_hold
from usage_ledger.domain.account import Account, Hold, Profile, Terms, open_account
from usage_ledger.domain.settlement import Decision, FinishedRun, Settled, settle

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TERMS = Terms(token_balance=1_000, token_grant=400, grant_period=timedelta())
ACME = Company(id="acme", name="Acme")


def holding(*holds: tuple[str, int], user_id: str = "u1") -> Account:
    account = open_account(Profile(user_id=user_id), TERMS, at=NOW).after
    for run_id, tokens in holds:
        account = with_hold(
            account, Hold(run_id=run_id, tokens=tokens, placed_at=NOW, expires_at=NOW + timedelta(minutes=15))
        )
    return account


def run(run_id: str, used: int, **fields: object) -> FinishedRun:
    """A run with half of its tokens on either side."""
    finished = FinishedRun(
        run_id=run_id,
        thread_id="t1",
        user_id="u1",
        company=ACME,
        usage=TokenUsage(input_tokens=used // 2, output_tokens=used - used // 2),
        estimated=False,
        model="m",
        assistant="a@1",
        finished_at=NOW,
        actor="chat-worker",
        reason="run completed",
    )
    return replace(finished, **fields)


def decide(
    *runs: FinishedRun, account: Account | None = None, settled: dict[str, Settled] | None = None
) -> Decision:
    accounts = {account.user_id: account} if account else {}
    return settle(runs, accounts=accounts, settled=settled or {}, terms=TERMS, at=NOW)


def settled_as(used: int, *, provisional: bool = False, corrected: bool = False) -> Settled:
    usage = TokenUsage(input_tokens=used // 2, output_tokens=used - used // 2)
    return Settled(usage=usage, estimated=provisional, provisional=provisional, corrected=corrected)


class TestSettle:
    @pytest.mark.parametrize(
        ("used", "balance", "overage"),
        [(0, 1_000, 0), (120, 880, 0), (300, 700, 0), (350, 650, 50), (1_400, -400, 1_100)],
    )
    def test_the_hold_is_closed_and_what_was_used_is_booked_in_full(
        self, used: int, balance: int, overage: int
    ):
        decision = decide(run("r1", used), account=holding(("r1", 300)))
        (posting,) = decision.postings
        (row,) = posting.rows
        assert (row.id, row.tokens, row.balance_before, row.balance_after) == (
            "usage:r1",
            -used,
            1_000,
            balance,
        )
        assert (row.details["hold_tokens"], row.details["overage"]) == (300, overage)
        assert (posting.after.balance, posting.after.held, posting.after.available) == (balance, 0, balance)

    def test_several_runs_of_a_user_make_a_chain_of_rows(self):
        account = holding(("r1", 300), ("r2", 300))
        (posting,) = decide(run("r1", 100), run("r2", 200), account=account).postings
        assert [row.sequence for row in posting.rows] == [2, 3]
        assert [(row.balance_before, row.balance_after) for row in posting.rows] == [(1_000, 900), (900, 700)]

    def test_a_repeat_in_the_batch_books_nothing(self):
        decision = decide(run("r1", 100), run("r1", 100), account=holding(("r1", 300)))
        assert len(decision.postings[0].rows) == 1
        assert (decision.booked, decision.differing) == (("r1",), ())

    def test_a_repeat_of_what_is_stored_changes_nothing(self):
        decision = decide(run("r1", 100), account=holding(), settled={"r1": settled_as(100)})
        assert decision.postings == ()

    def test_a_repeat_closes_a_hold_that_came_late(self):
        account = holding(("r1", 300))
        (posting,) = decide(run("r1", 100), account=account, settled={"r1": settled_as(100)}).postings
        assert (posting.rows, posting.after.held) == ((), 0)

    def test_other_figures_for_a_settled_run_are_reported_and_not_booked(self):
        decision = decide(run("r1", 150), account=holding(), settled={"r1": settled_as(100)})
        assert (decision.postings, decision.differing) == ((), ("r1",))

    def test_a_run_without_a_hold_is_booked_all_the_same(self):
        (posting,) = decide(run("r1", 100), account=holding()).postings
        assert posting.rows[0].details["overage"] == 100
        assert posting.after.balance == 900

    def test_a_lost_account_is_opened_and_the_usage_kept(self):
        (posting,) = decide(run("r1", 1_300)).postings
        assert posting.before is None
        assert [row.id for row in posting.rows] == ["open:u1", "usage:r1"]
        assert "missing" in posting.rows[0].reason
        assert posting.after.balance == -300

    def test_the_row_carries_the_company_of_the_run(self):
        (posting,) = decide(run("r1", 10), account=holding()).postings
        assert posting.rows[0].company == ACME

    def test_an_estimate_says_so(self):
        (posting,) = decide(run("r1", 10, estimated=True), account=holding()).postings
        assert posting.rows[0].details["estimated"] is True


class TestCorrection:
    def test_the_true_figure_is_booked_on_top_of_an_estimate(self):
        settled = {"r1": settled_as(100, provisional=True)}
        (posting,) = decide(run("r1", 130), account=holding(), settled=settled).postings
        (row,) = posting.rows
        assert (row.id, row.kind, row.tokens) == ("correction:r1", "correction", -30)
        assert (row.details["usage"]["input_tokens"], row.details["usage"]["output_tokens"]) == (15, 15)

    def test_too_high_an_estimate_is_given_back(self):
        settled = {"r1": settled_as(100, provisional=True)}
        (posting,) = decide(run("r1", 40), account=holding(), settled=settled).postings
        assert posting.after.balance == 1_060

    def test_a_true_figure_like_the_estimate_makes_it_exact(self):
        settled = {"r1": settled_as(130, provisional=True)}
        (posting,) = decide(run("r1", 130), account=holding(), settled=settled).postings
        (row,) = posting.rows
        assert (row.id, row.tokens, row.details["estimated"]) == ("correction:r1", 0, False)

    def test_an_estimate_of_the_worker_like_that_of_the_ledger_is_no_news(self):
        settled = {"r1": settled_as(130, provisional=True)}
        assert decide(run("r1", 130, estimated=True), account=holding(), settled=settled).postings == ()

    def test_there_is_at_most_one(self):
        settled = {"r1": settled_as(100, provisional=True, corrected=True)}
        assert decide(run("r1", 130), account=holding(), settled=settled).postings == ()

    def test_estimate_and_true_figure_in_one_batch(self):
        guess = run("r1", 100, estimated=True, provisional=True)
        (posting,) = decide(guess, run("r1", 130), run("r1", 130), account=holding(("r1", 300))).postings
        assert [row.id for row in posting.rows] == ["usage:r1", "correction:r1"]
        assert posting.after.balance == 870


@pytest.mark.parametrize("figure", ["input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"])
def test_figures_beyond_any_run_are_malformed(figure: str):
    absurd = replace(run("r1", 1), usage=TokenUsage.model_validate({figure: 2**60}))
    with pytest.raises(Malformed):
        decide(run("r0", 1), absurd, account=holding(("r1", 300)))
