"""How many tokens a message will cost at most. Pure.

The hold is placed before the model has seen anything, so it must not be too small: whatever the run uses
above it is the user's debt.
"""

import math
from dataclasses import dataclass

from common.errors import TooLarge
from common.tokens import TOKENS_PER_MESSAGE

MARGIN = 1.15
"""Providers count a little differently from the offline tokenizer."""

_NEW_MESSAGES = 2
"""The instructions and the question; earlier messages are counted in the conversation's tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Tokens. `context` is the whole conversation so far, instructions included; 0 in a new thread."""

    instructions: int
    context: int
    question: int


def estimate_input_tokens(sizes: Sizes, *, max_input_tokens: int) -> int:
    """Return the input tokens to hold.

    Of a long conversation the worker sends no more than `max_input_tokens`. Raises TooLarge for a question
    that does not fit with the instructions alone.
    """
    overhead = _NEW_MESSAGES * TOKENS_PER_MESSAGE
    if sizes.instructions + sizes.question + overhead > max_input_tokens:
        raise TooLarge("The message is longer than the assistant can read")
    history = max(sizes.context, sizes.instructions)
    tokens = min(history + sizes.question + overhead, max_input_tokens)
    return math.ceil(tokens * MARGIN)
