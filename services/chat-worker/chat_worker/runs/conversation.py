"""What is sent to the model: the history that fits, then the new message. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from common.tokens import TOKENS_PER_MESSAGE


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user wrote and what was answered; the answer is empty where a run failed.

    An empty question is one that cannot be read any more: its turn is left out.
    """

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """The input of a request, oldest first, and how many tokens it is estimated to have."""

    input: list[dict[str, str]]
    input_tokens: int


def build_conversation(
    history: Iterable[Turn],
    question: str,
    *,
    instructions: str,
    input_tokens_max: int,
    count: Callable[[str], int],
) -> Conversation:
    """Put whole turns of `history` (newest first) before the question, as many as fit.

    The question itself always goes, even where it alone is above the limit: the provider then says so.
    """
    tokens = count(instructions) + count(question) + 2 * TOKENS_PER_MESSAGE
    kept: list[dict[str, str]] = []
    for turn in history:
        if not turn.question:
            continue
        messages = [{"role": "user", "content": turn.question}]
        if turn.answer:
            messages.append({"role": "assistant", "content": turn.answer})
        cost = sum(count(message["content"]) + TOKENS_PER_MESSAGE for message in messages)
        if tokens + cost > input_tokens_max:
            break
        tokens += cost
        kept[:0] = messages
    return Conversation(input=[*kept, {"role": "user", "content": question}], input_tokens=tokens)


def shortened(messages: list[dict[str, str]]) -> list[dict[str, str]] | None:
    """Leave out the older half, in whole turns; None where the question stands alone."""
    half = (len(messages) + 1) // 2
    starts = (place for place in range(half, len(messages)) if messages[place]["role"] == "user")
    kept_from = next(starts, None)
    return None if kept_from is None else messages[kept_from:]
