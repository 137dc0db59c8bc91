from datetime import UTC, datetime, timedelta

import pytest

from common.events.envelope import TokenUsage
from usage_ledger.domain.account import Hold
from usage_ledger.domain.recovery import RunRecord, action_for, estimated, finished

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TTL = timedelta(minutes=15)


def hold(*, age_s: int) -> Hold:
    placed_at = NOW - timedelta(seconds=age_s)
    return Hold(run_id="r1", tokens=100, placed_at=placed_at, expires_at=placed_at + TTL)


def run(state: str, *, lease_s: int | None = None, usage: TokenUsage | None = None) -> RunRecord:
    return RunRecord(
        run_id="r1",
        thread_id="t1",
        user_id="u1",
        company=None,
        state=state,
        lease_until=None if lease_s is None else NOW + timedelta(seconds=lease_s),
        usage=usage,
        usage_source="provider" if usage else None,
        input_tokens_estimate=70,
        text="so far",
        model="m",
        assistant="a@1",
        finished_at=None,
    )


@pytest.mark.parametrize(
    ("record", "is_settled", "age_s", "action"),
    [
        (None, False, 900, "release"),
        (None, True, 900, "drop"),
        (run("completed"), True, 900, "drop"),
        (run("completed"), False, 900, "settle"),
        (run("failed"), False, 900, "settle"),
        (run("cancelled"), False, 5_000, "settle"),
        (run("active", lease_s=20), False, 900, "extend"),
        (run("active", lease_s=20), False, 5_000, "extend"),
        (run("active", lease_s=-20), False, 900, "extend"),
        (run("active", lease_s=-20), False, 1_799, "extend"),
        (run("active", lease_s=-20), False, 1_800, "estimate"),
        (run("active"), False, 1_800, "estimate"),
    ],
)
def test_the_run_is_asked_before_the_clock(
    record: RunRecord | None,
    is_settled: bool,  # noqa: FBT001
    age_s: int,
    action: str,
):
    hold_of_age = hold(age_s=age_s)
    assert action_for(hold_of_age, run=record, is_settled=is_settled, hold_ttl=TTL, now=NOW) == action


def test_a_lost_event_is_read_from_the_run():
    usage = TokenUsage(input_tokens=5, output_tokens=6)
    settlement = finished(run("completed", usage=usage), now=NOW)
    assert (settlement.usage, settlement.estimated, settlement.provisional) == (usage, False, False)
    assert settlement.reason == "run completed"


def test_an_abandoned_run_is_charged_its_input_and_its_text():
    settlement = estimated(run("active"), output_tokens=3, hold_tokens=100, now=NOW)
    assert settlement.usage == TokenUsage(input_tokens=70, output_tokens=3)
    assert (settlement.estimated, settlement.provisional) == (True, True)


@pytest.mark.parametrize("hold_tokens", [0, 5, 12, 40])
def test_an_estimate_is_never_above_what_was_held(hold_tokens: int):
    settlement = estimated(run("active"), output_tokens=1_000, hold_tokens=hold_tokens, now=NOW)
    assert settlement.usage.total_tokens == hold_tokens
