"""What an audit can find."""

from dataclasses import dataclass, field
from typing import Literal

Code = Literal["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12"]

CODES: dict[Code, str] = {
    "I1": "the balance is the sum of the rows, and `held` the sum of the open holds",
    "I2": "the rows of an account count 1..n without gaps, each from the balance of the one before",
    "I3": "`available` is the balance less what is held; nothing but overage, adjustments, quotas and "
    "corrections takes it below zero",
    "I4": "a settlement books what was used, and names what went beyond its hold",
    "I5": "every finished run is settled, and no run before it ends",
    "I6": "no usage is lost: what a run used at the provider is what its rows say",
    "I7": "no row without its cause: an account, a run of the same user, an actor, a reason",
    "I8": "no hold outlives its run",
    "I9": "a cause is booked once: a row's id is made from it, and the row is what was asked for",
    "I10": "events are published, and increments folded, within a minute",
    "I11": "one active run per thread; a run's fence only grows, and its last attempt is the one settled",
    "I12": "the rollups are the sums of the rows, for every day",
}


DAMAGED = (KeyError, TypeError, ValueError, AttributeError)
"""What comes of a document that lacks a field, or has another type in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken promise, with the ids that lead to it."""

    code: Code
    what: str
    ids: dict[str, str] = field(hash=False)
