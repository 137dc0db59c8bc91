import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import TooLarge
from gateway.asking.estimate import Sizes, estimate_input_tokens

TOKENS = st.integers(min_value=0, max_value=5_000)


def test_a_new_thread_holds_the_instructions_and_the_question() -> None:
    sizes = Sizes(instructions=100, context=0, question=20)
    assert (
        estimate_input_tokens(sizes, max_input_tokens=10_000) == 157
    )  # (100 + 20 + 2 x 8) x 1.15, rounded up


def test_a_conversation_counts_its_instructions_once() -> None:
    sizes = Sizes(instructions=100, context=1_000, question=20)
    assert estimate_input_tokens(sizes, max_input_tokens=10_000) == 1_192


def test_a_long_conversation_is_held_only_as_far_as_it_will_be_sent() -> None:
    sizes = Sizes(instructions=100, context=50_000, question=20)
    assert estimate_input_tokens(sizes, max_input_tokens=1_000) == 1_150


def test_a_question_that_does_not_fit_is_refused() -> None:
    with pytest.raises(TooLarge):
        estimate_input_tokens(Sizes(instructions=100, context=0, question=900), max_input_tokens=1_000)


@given(instructions=TOKENS, context=TOKENS, question=TOKENS)
def test_the_hold_is_never_below_what_is_sent(instructions: int, context: int, question: int) -> None:
    sizes = Sizes(instructions=instructions, context=context, question=question)
    limit = 12_000
    sent = min(max(context, instructions) + question, limit)
    assert sent <= estimate_input_tokens(sizes, max_input_tokens=limit) <= limit * 1.15 + 1
