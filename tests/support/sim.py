"""Telling the provider simulator, within a message, how to answer it."""

import json
from typing import Any


def sim(text: str = "hello", **behaviour: Any) -> str:
    """Write a message that the simulator answers as told; see `simulators.openai.behaviour`."""
    return f"{text} [[sim: {json.dumps(behaviour)}]]"


def tokens(count: int) -> str:
    """The answer that `reply_tokens=count` gives."""
    return " ".join(f"t{number}" for number in range(1, count + 1))
