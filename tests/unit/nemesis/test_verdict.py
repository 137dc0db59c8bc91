"""The judge of the nemesis finds what it is there to find."""

from itertools import islice
from typing import Any

import pytest

from nemesis.schedule import LANES, steps
from nemesis.verdict import Sum, Verdict, judge

Row = dict[str, Any]


def run(**fields: Any) -> Row:
    return {"_id": "r1", "state": "completed", "usage_source": "provider", "response_id": "a", **fields}


def row(tokens: int = 30, run_id: str = "r1") -> Row:
    return {"run_id": run_id, "tokens": -tokens}


def response(tokens: int = 30, *, response_id: str = "a", reported: bool = True, run_id: str = "r1") -> Row:
    usage = {"total_tokens": tokens}
    return {
        "id": response_id,
        "run_id": run_id,
        "usage": usage,
        "usage_reported": usage if reported else None,
    }


def test_what_is_booked_as_reported_is_exact():
    verdict = judge([run()], [row()], [response()])
    assert (verdict.wrong, verdict.is_exact, verdict.booked) == ([], True, Sum(1, 30))


def test_an_attempt_that_was_given_up_is_counted_apart():
    verdict = judge([run()], [row()], [response(12, response_id="b", reported=False), response()])
    assert (verdict.wrong, verdict.is_exact, verdict.abandoned) == ([], True, Sum(1, 12))


def test_an_estimate_is_counted_apart():
    stopped = run(state="cancelled", usage_source="estimate")
    verdict = judge([stopped], [row(25)], [response(20, reported=False)])
    assert (verdict.estimated, verdict.unreported, verdict.booked) == (Sum(1, 25), Sum(1, 20), Sum())
    assert verdict.is_exact


def disagreements() -> dict[str, Verdict]:
    return {
        "a token too many": judge([run()], [row(31)], [response()]),
        "booked by another response": judge([run()], [row()], [response(response_id="b")]),
        "booked by a figure that was never reported": judge([run()], [row()], [response(reported=False)]),
        "booked twice": judge([run()], [row(), row()], [response()]),
        "not booked": judge([run()], [], [response()]),
        "not ended": judge([run(state="active")], [row()], [response()]),
        "booked without a run": judge([], [row()], []),
        "answered without a run": judge([], [], [response()]),
    }


@pytest.mark.parametrize("name", disagreements())
def test_whatever_does_not_agree_is_named(name: str):
    assert disagreements()[name].wrong


@pytest.mark.parametrize("lane", LANES)
def test_a_seed_always_makes_the_same_plan(lane: Any):
    assert list(islice(steps(7, lane), 200)) == list(islice(steps(7, lane), 200))
    assert list(islice(steps(7, lane), 200)) != list(islice(steps(8, lane), 200))
