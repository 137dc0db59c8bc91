"""What an audit can find."""

from dataclasses import dataclass
from typing import Literal

Code = Literal["I1", "I2", "I4", "I5", "I7", "I8", "I10", "I12"]

CODES: dict[Code, str] = {
    "I1": "the balance is the sum of the rows, `held` the sum of the open holds, `available` the difference",
    "I2": "the rows of an account count 1..n without gaps, each from the balance of the one before",
    "I4": "a settlement books what was used, and names what went beyond its hold",
    "I5": "every finished run is settled once, with its own figures",
    "I7": "no row without its cause: an account, a run, an actor, a reason",
    "I8": "no hold outlives its run",
    "I10": "events are published, and increments folded, within a minute",
    "I12": "the rollups are the sums of the rows, for every day",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken promise, with the ids that lead to it."""

    code: Code
    what: str
    ids: dict[str, str]
