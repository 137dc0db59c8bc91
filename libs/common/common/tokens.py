"""Offline token counts. An estimate: which tokenizer a provider uses is the provider's business."""

from functools import cache
from typing import Any, cast

import quicktok

TOKENS_PER_MESSAGE = 8
"""What a message costs beside its text: role and separators. Chat formats take three to seven.

One number for the hold and for the worker, which sends what the hold was made for: with a smaller one the
worker would send turns that nothing was held for.
"""


@cache
def _encoding() -> Any:
    return cast(Any, quicktok).get_encoding("o200k_base")


def count_tokens(text: str) -> int:
    """Count tokens of o200k_base; text that looks like a control token counts as plain text."""
    return int(_encoding().count(text))
