"""Ids: opaque to readers, sorted by time of birth, 80 random bits, safe in URLs and routing keys."""

import hashlib
import secrets
import time
from typing import Literal

Prefix = Literal["t", "m", "r", "f", "e", "q", "a"]
"""t thread, m message of a user, r run, f file, e event, q request, a process (as owner of a lease)."""


def new_id(prefix: Prefix) -> str:
    """Make an id such as `r_0199c1f0a1b2…`: 12 hex digits of milliseconds, then 20 random ones."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def derived_id(prefix: Prefix, *parts: str) -> str:
    """Make the same id from the same parts, always: a repeated request names the same thing."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
    return f"{prefix}_{digest[:32]}"


def answer_id(run_id: str) -> str:
    """Name the assistant's message that a run writes. There is exactly one, so the run names it."""
    return "n" + run_id[1:]


def run_of_answer(message_id: str) -> str | None:
    """Return the run that wrote the message, or None if it is not an assistant's."""
    return "r" + message_id[1:] if message_id.startswith("n_") else None
