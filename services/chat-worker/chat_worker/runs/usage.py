"""Which usage a run is charged. Pure.

The provider's figure where there is one. Else an estimate, which never exceeds the hold: the user agreed
to no more than that, and what an abandoned attempt cost on top is the house's.
"""

from collections.abc import Callable

from common.events.envelope import TokenUsage
from common.events.runs import UsageSource


def charged_usage(
    *,
    reported: TokenUsage | None,
    retrieved: TokenUsage | None,
    model_called: bool,
    failed: bool,
    text: str,
    input_tokens: int,
    hold_tokens: int,
    count: Callable[[str], int],
) -> tuple[TokenUsage, UsageSource]:
    """Decide the usage and say where it comes from.

    `failed`: it has no answer, and the provider keeps none that may still be written. A run that failed
    before its first text with no figure, or never reached the model, costs nothing.
    """
    if reported is not None:
        return reported, "provider"
    if retrieved is not None:
        return retrieved, "retrieved"
    if not model_called or (failed and not text):
        return TokenUsage(), "none"
    charged_input = min(input_tokens, hold_tokens)
    charged_output = min(count(text), hold_tokens - charged_input)
    return TokenUsage(input_tokens=charged_input, output_tokens=charged_output), "estimate"


def context_after(usage: TokenUsage, source: UsageSource, *, input_tokens: int, text_tokens: int) -> int:
    """Estimate the tokens of the conversation with its newest answer; hidden reasoning is not sent again."""
    if source in ("provider", "retrieved"):
        return usage.input_tokens + usage.output_tokens - min(usage.reasoning_tokens, usage.output_tokens)
    return input_tokens + text_tokens
