"""The judge of the nemesis finds what it is there to find."""

from itertools import islice
from typing import Any

import pytest

from nemesis.schedule import LANES, steps
from nemesis.verdict import Sum, Verdict, judge

Row = dict[str, Any]


def run(**fields: Any) -> Row:
    usual = {"_id": "r1", "state": "completed", "usage_source": "provider", "response_id": "a"}
    return {**usual, "text": "t1ab t2ab", "hold_tokens": 50, **fields}


def stopped(**fields: Any) -> Row:
    return run(state="cancelled", usage_source="estimate", text="t1ab", **fields)


def row(tokens: int = 30, run_id: str = "r1") -> Row:
    return {"run_id": run_id, "tokens": -tokens}


def response(
    tokens: int = 30,
    *,
    response_id: str = "a",
    reported: bool = True,
    run_id: str = "r1",
    text: str = "t1ab t2ab",
) -> Row:
    usage = {"total_tokens": tokens}
    return {
        "id": response_id,
        "run_id": run_id,
        "background": True,
        "usage": usage,
        "usage_reported": usage if reported else None,
        "text": text,
    }


def lost(response_id: str = "b", **fields: Any) -> Row:
    """An attempt that never reached us; the provider went on with it to its end."""
    return response(12, response_id=response_id, text="t1xy t2xy", **fields)


def test_what_is_booked_as_reported_is_exact():
    verdict = judge([run()], [row()], [response()])
    assert (verdict.wrong, verdict.is_exact, verdict.booked) == ([], True, Sum(1, 30))


def test_an_attempt_that_was_given_up_is_counted_apart():
    verdict = judge([run()], [row()], [lost(), response()])
    assert (verdict.wrong, verdict.is_exact, verdict.abandoned) == ([], True, Sum(1, 12))


def test_a_run_whose_attempts_were_all_lost_before_any_text_has_no_figure():
    nothing = run(state="interrupted", usage_source="none", response_id=None, text="")
    verdict = judge([nothing], [row(0)], [lost("b"), lost("c")])
    assert (verdict.wrong, verdict.is_exact, verdict.abandoned) == ([], True, Sum(2, 24))


def test_an_estimate_of_what_was_stopped_is_counted_apart():
    verdict = judge([stopped()], [row(25)], [response(20, reported=False)])
    assert (verdict.wrong, verdict.estimated, verdict.unreported) == ([], Sum(1, 25), Sum(1, 20))
    assert verdict.is_exact
    assert verdict.booked == Sum()


def test_an_estimate_of_what_was_stopped_and_would_have_been_told_is_counted_apart_too():
    verdict = judge([stopped()], [row(25)], [response(20)])
    assert (verdict.wrong, verdict.missed, verdict.unreported) == ([], Sum(1, 20), Sum())
    assert verdict.is_exact


def disagreements() -> dict[str, Verdict]:
    estimate = run(usage_source="estimate")
    nothing = run(state="failed", usage_source="none", response_id=None, text="")
    guessed = nothing | {"state": "interrupted", "usage_source": "estimate"}
    return {
        "a token too many": judge([run()], [row(31)], [response()]),
        "booked by another response": judge([run()], [row()], [response(response_id="b")]),
        "booked by a figure that was never reported": judge([run()], [row()], [response(reported=False)]),
        "booked twice": judge([run()], [row(), row()], [response()]),
        "not booked": judge([run()], [], [response()]),
        "not ended": judge([run(state="active")], [row()], [response()]),
        "booked without a run": judge([], [row()], []),
        "answered without a run": judge([], [], [response()]),
        "estimated though it was told": judge([estimate], [row()], [response()]),
        "booked as nothing though it was told": judge([estimate], [row(0)], [response()]),
        "never told though nobody stopped it": judge([estimate], [row()], [response(reported=False)]),
        "text, and no response that we know": judge([run(response_id=None)], [row(0)], [lost()]),
        "an estimate above the hold": judge([stopped()], [row(51)], [response(reported=False)]),
        "booked though nothing was used": judge([nothing], [row(1)], []),
        "estimated though nothing ever came": judge([guessed], [row(5)], [lost("b"), lost("c")]),
        "asked for three times": judge([run()], [row()], [lost("b"), lost("c"), response()]),
        "lost three times": judge([nothing], [row(0)], [lost("b"), lost("c"), lost("d")]),
        "text of another response": judge([run(text="t1xy t2xy")], [row()], [lost(), response()]),
        "text of two responses": judge([run(text="t1xy t2ab")], [row()], [lost(), response()]),
        "text that is cut off": judge([run(text="t1ab")], [row()], [response()]),
        "stopped, with text of another": judge([stopped() | {"text": "t1xy"}], [row(5)], [response()]),
    }


@pytest.mark.parametrize("name", disagreements())
def test_whatever_does_not_agree_is_named(name: str):
    assert disagreements()[name].wrong


@pytest.mark.parametrize("lane", LANES)
def test_a_seed_always_makes_the_same_plan(lane: Any):
    assert list(islice(steps(7, lane), 200)) == list(islice(steps(7, lane), 200))
    assert list(islice(steps(7, lane), 200)) != list(islice(steps(8, lane), 200))
