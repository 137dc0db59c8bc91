from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_worker.runs.usage import charged_usage, context_after
from common.events.envelope import TokenUsage

REPORTED = TokenUsage(input_tokens=10, output_tokens=5)


def charge(**changes):
    facts: dict[str, Any] = {
        "reported": None,
        "retrieved": None,
        "model_called": True,
        "failed": False,
        "text": "one two three",
        "input_tokens": 7,
        "hold_tokens": 100,
        "count": lambda text: len(text.split()),
    }
    return charged_usage(**(facts | changes))


def test_the_providers_figure_counts_whatever_else_is_known():
    assert charge(reported=REPORTED, retrieved=TokenUsage(input_tokens=1), failed=True) == (
        REPORTED,
        "provider",
    )


def test_a_retrieved_figure_comes_before_an_estimate():
    assert charge(retrieved=REPORTED) == (REPORTED, "retrieved")


def test_without_a_figure_the_prompt_and_the_text_are_estimated():
    assert charge() == (TokenUsage(input_tokens=7, output_tokens=3), "estimate")


@pytest.mark.parametrize("changes", [{"model_called": False}, {"failed": True, "text": ""}])
def test_nothing_is_charged_where_nothing_was_spent(changes):
    assert charge(**changes) == (TokenUsage(), "none")


def test_a_failure_after_the_first_text_is_charged():
    assert charge(failed=True)[1] == "estimate"


@given(words=st.integers(0, 500), input_tokens=st.integers(0, 500), hold_tokens=st.integers(1, 400))
def test_an_estimate_never_exceeds_the_hold(words, input_tokens, hold_tokens):
    usage, _ = charge(text="w " * words, input_tokens=input_tokens, hold_tokens=hold_tokens)
    assert usage.total_tokens <= hold_tokens


def test_hidden_reasoning_is_not_sent_again():
    usage = TokenUsage(input_tokens=10, output_tokens=50, reasoning_tokens=40)
    assert context_after(usage, "provider", input_tokens=0, text_tokens=0) == 20
