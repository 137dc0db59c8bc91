"""Offline token counts. An estimate: which tokenizer a provider uses is the provider's business."""

from functools import cache
from typing import Any, cast

import quicktok


@cache
def _encoding() -> Any:
    return cast(Any, quicktok).get_encoding("o200k_base")


def count_tokens(text: str) -> int:
    """Count tokens of o200k_base; text that looks like a control token counts as plain text."""
    return int(_encoding().count(text))
