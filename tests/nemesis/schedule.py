"""What breaks when: an endless plan made from the seed alone. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from support.faulty_stack import LINKS, Link

Lane = Literal["processes", "servers"]
LANES: tuple[Lane, ...] = ("processes", "servers")
"""Each lane breaks one thing at a time, so at most two are broken at once."""

ROLES = ("gateway", "chat_worker", "usage_ledger")

_KINDS: dict[Lane, dict[str, int]] = {
    "processes": {"kill": 6, "restart": 3, "freeze": 4},
    "servers": {
        "reset link": 3,
        "lose answers": 3,
        "half-open link": 2,
        "cut link": 2,
        "slow link": 1,
        "repeat settlements": 2,
        "flush redis": 1,
        "kill redis": 1,
        "freeze redis": 1,
        "kill broker": 1,
        "alarm broker": 1,
        "close broker's connections": 1,
        "kill database": 1,
    },
}
_LASTS_S = {
    "freeze": (1.0, 9.0),
    "lose answers": (0.3, 1.5),
    "half-open link": (2.0, 8.0),
    "cut link": (1.0, 6.0),
    "slow link": (3.0, 6.0),
    "freeze redis": (1.0, 4.0),
    "alarm broker": (2.0, 6.0),
}
_PAUSE_S = (0.5, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fault: after `pause_s`, `kind` hits the process `number` of a role, for `lasts_s`."""

    kind: str
    role: str
    number: int
    link: Link
    lasts_s: float
    pause_s: float


def steps(seed: int, lane: Lane) -> Iterator[Step]:
    """Plan a lane, without end. The same seed always gives the same plan."""
    rng = random.Random(f"{seed}/{lane}")
    kinds = _KINDS[lane]
    while True:
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        yield Step(
            kind=kind,
            role=rng.choice(ROLES),
            number=rng.randrange(2),
            link="amqp" if kind == "lose answers" else rng.choice(LINKS),
            lasts_s=round(rng.uniform(*_LASTS_S.get(kind, (0.0, 0.0))), 2),
            pause_s=round(rng.uniform(*_PAUSE_S), 2),
        )
