"""The ledger's decisions against a model of a few numbers, in any order, with repeats and crashes."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from common.errors import Conflict
from common.events.envelope import TokenUsage
from support.holds import with_hold
from usage_ledger.domain.account import (
    Account,
    Adjustment,
    Hold,
    HoldRequest,
    Posting,
    Profile,
    Terms,
    adjust,
    grant_if_due,
    open_account,
    without_hold,
)
from usage_ledger.domain.settlement import FinishedRun, Settled, settle
from usage_ledger.domain.transaction import Transaction, usage_id

TERMS = Terms(token_balance=1_000, token_grant=300, grant_period=timedelta(minutes=5))
USERS = ("u1", "u2")
HOLDS_MAX = 3


@dataclass
class Model:
    """What must be true of one user, said as plainly as possible."""

    balance: int = 0
    holds: dict[str, int] = field(default_factory=dict[str, int])
    used: dict[str, int] = field(default_factory=dict[str, int])
    guessed: set[str] = field(default_factory=set[str])


class LedgerMachine(RuleBasedStateMachine):
    """`stored` and `rows` are the database; a change is applied as a whole or, in a crash, not at all."""

    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 11, 22, tzinfo=UTC)
        self.stored: dict[str, Account] = {}
        self.rows: dict[str, Transaction] = {}
        self.model: dict[str, Model] = {}
        self.pending: list[FinishedRun] = []
        self.born = 0

    def commit(self, *postings: Posting) -> None:
        for posting in postings:
            assert self.stored.get(posting.after.user_id) == posting.before
            for row in posting.rows:
                assert row.id not in self.rows
                self.rows[row.id] = row
            self.stored[posting.after.user_id] = posting.after

    @initialize()
    def first_user(self) -> None:
        self.open("u1")

    @rule(user_id=st.sampled_from(USERS))
    def open(self, user_id: str) -> None:
        account = self.stored.get(user_id)
        if account is None:
            self.commit(open_account(Profile(user_id=user_id), TERMS, at=self.now))
            self.model[user_id] = Model(balance=TERMS.token_balance)
            return
        grant = grant_if_due(account, TERMS, now=self.now)
        if grant is not None:
            assert account.balance <= 0 or (account.refused_at and not account.holds)
            self.commit(grant)
            self.model[user_id].balance += account.token_grant
            assert grant_if_due(self.stored[user_id], TERMS, now=self.now) is None

    @rule(
        target=runs,
        user_id=st.sampled_from(USERS),
        input_tokens=st.integers(1, 200),
        output_tokens_max=st.integers(10, 400),
    )
    def new_hold(self, user_id: str, input_tokens: int, output_tokens_max: int) -> tuple[str, str]:
        self.born += 1
        run_id = f"r{self.born}"
        self.hold((user_id, run_id), input_tokens, output_tokens_max)
        return user_id, run_id

    @rule(run=runs, input_tokens=st.integers(1, 200), output_tokens_max=st.integers(10, 400))
    def hold(self, run: tuple[str, str], input_tokens: int, output_tokens_max: int) -> None:
        """Also a late repeat, of a run that may be over."""
        user_id, run_id = run
        account = self.stored.get(user_id)
        if account is None or account.hold_of(run_id) or run_id in account.closed_run_ids:
            return
        if len(account.holds) >= HOLDS_MAX:
            return
        request = HoldRequest(
            run_id=run_id,
            user_id=user_id,
            input_tokens=input_tokens,
            output_tokens_min=10,
            output_tokens_max=output_tokens_max,
            open_holds_max=HOLDS_MAX,
        )
        tokens = request.size(account.available)
        if tokens is None:
            if not account.holds:
                self.stored[user_id] = replace(account, refused_at=self.now)
            return
        assert request.tokens_min <= tokens <= input_tokens + output_tokens_max
        hold = Hold(run_id=run_id, tokens=tokens, placed_at=self.now, expires_at=self.now)
        self.stored[user_id] = with_hold(account, hold)
        self.model[user_id].holds[run_id] = tokens
        assert self.stored[user_id].available >= 0

    @rule(run=runs)
    def release_or_expire(self, run: tuple[str, str]) -> None:
        user_id, run_id = run
        if user_id in self.stored:
            self.stored[user_id] = without_hold(self.stored[user_id], run_id)
            self.model[user_id].holds.pop(run_id, None)

    @rule(run=runs, used=st.integers(0, 900), guess=st.booleans(), copies=st.integers(1, 3))
    def finish(self, run: tuple[str, str], used: int, *, guess: bool, copies: int) -> None:
        """A worker reports, or the sweeper guesses; the report may be delivered several times."""
        user_id, run_id = run
        report = FinishedRun(
            run_id=run_id,
            thread_id="t1",
            user_id=user_id,
            company=None,
            usage=TokenUsage(input_tokens=used, output_tokens=1 if used else 0),
            estimated=guess,
            model="m",
            assistant="a@1",
            finished_at=self.now,
            actor="chat-worker",
            reason="run completed",
            provisional=guess,
        )
        known = [other for other in self.pending if other.run_id == run_id and not other.provisional]
        # A worker stores what it reports first, so that it always reports the same.
        self.pending += [known[0] if known and not guess else report] * copies

    @rule(data=st.data(), crash=st.sampled_from(["no", "before commit", "after commit"]))
    def settle_a_batch(self, data: st.DataObject, crash: str) -> None:
        if not self.pending:
            return
        size = data.draw(st.integers(1, min(5, len(self.pending))))
        batch = data.draw(st.permutations(self.pending))[:size]
        decision = settle(batch, accounts=self.stored, settled=self.settled_runs(), terms=TERMS, at=self.now)
        if crash == "before commit":
            return
        self.commit(*decision.postings)
        for report in batch:
            self.model_settles(report)
        if crash == "no":
            for report in batch:
                self.pending.remove(report)

    def settled_runs(self) -> dict[str, Settled]:
        return {
            row.details["run_id"]: Settled(
                usage=TokenUsage.model_validate(row.details["usage"]),
                estimated=row.details["estimated"],
                provisional=row.details["provisional"],
                corrected=f"correction:{row.details['run_id']}" in self.rows,
            )
            for row in self.rows.values()
            if row.kind == "usage"
        }

    def model_settles(self, report: FinishedRun) -> None:
        model = self.model.setdefault(report.user_id, Model(balance=TERMS.token_balance))
        total = report.usage.total_tokens
        model.holds.pop(report.run_id, None)
        booked = model.used.get(report.run_id)
        if booked is None:
            model.used[report.run_id] = total
            model.balance -= total
            if report.provisional:
                model.guessed.add(report.run_id)
        elif report.run_id in model.guessed and not report.provisional:
            model.used[report.run_id] = total
            model.balance += booked - total
            model.guessed.discard(report.run_id)

    @rule(
        user_id=st.sampled_from(USERS),
        balance=st.none() | st.integers(-100, 2_000),
        grant=st.none() | st.integers(0, 500),
        stale=st.booleans(),
    )
    def adjust(self, user_id: str, balance: int | None, grant: int | None, *, stale: bool) -> None:
        account = self.stored.get(user_id)
        if account is None or (balance is None and grant is None):
            return
        self.born += 1
        adjustment = Adjustment(
            request_id=f"q{self.born}",
            user_id=user_id,
            actor="operator",
            reason="test",
            token_balance=balance,
            token_grant=grant,
            expected_balance=account.balance + 1 if stale else account.balance,
        )
        try:
            posting = adjust(account, adjustment, at=self.now)
        except Conflict:
            assert stale
            return
        assert not stale
        self.commit(posting)
        if balance is not None:
            self.model[user_id].balance = balance

    @rule(minutes=st.integers(1, 10))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @invariant()
    def balances_and_holds_are_those_of_the_model(self) -> None:
        assert self.stored.keys() == self.model.keys()
        for user_id, model in self.model.items():
            account = self.stored[user_id]
            assert account.balance == model.balance
            assert {hold.run_id: hold.tokens for hold in account.holds} == model.holds
            assert account.held == sum(model.holds.values())
            assert account.available == account.balance - account.held

    @invariant()
    def rows_are_a_chain_that_adds_up(self) -> None:
        for user_id, account in self.stored.items():
            balance = 0
            rows = [row for row in self.rows.values() if row.user_id == user_id]
            for number, row in enumerate(sorted(rows, key=lambda row: row.sequence), start=1):
                assert (row.sequence, row.balance_before) == (number, balance)
                balance += row.tokens
                assert row.balance_after == balance
                assert row.actor
                assert row.reason
            assert (account.sequence, account.balance) == (len(rows), balance)

    @invariant()
    def what_was_used_is_booked_once(self) -> None:
        booked: dict[str, int] = {}
        for row in self.rows.values():
            if row.kind in {"usage", "correction"}:
                booked[row.details["run_id"]] = booked.get(row.details["run_id"], 0) - row.tokens
        used: dict[str, Any] = {}
        for model in self.model.values():
            used |= model.used
        assert booked == used

    @invariant()
    def only_an_overage_or_an_operator_makes_debts(self) -> None:
        """An overage may use up what is held for another run, which then ends in debt within its hold."""
        excused = {
            row.user_id
            for row in self.rows.values()
            if row.kind in {"adjustment", "correction"} or row.details.get("overage", 0) > 0
        }
        for user_id, account in self.stored.items():
            assert user_id in excused or (account.balance >= 0 and account.available >= 0)

    @invariant()
    def a_settled_run_is_named_by_its_row(self) -> None:
        for model in self.model.values():
            assert all(usage_id(run_id) in self.rows for run_id in model.used)


LedgerMachine.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLedgerMachine = LedgerMachine.TestCase
