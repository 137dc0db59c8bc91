"""Counts rows as the rollups have them, but from the shapes alone, not by the code that makes rollups."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from common.mongo.client import Document
from common.usage_rollup import ACTIVE_FIELDS, QUARTERS_PER_DAY, USAGE_KINDS, active_bits, escape, user_key

_WHOLE_DAY = (1 << QUARTERS_PER_DAY) - 1

Counters = dict[str, int]
"""The maps F and K of `common.usage_rollup`."""


@dataclass(slots=True)
class Quarter:
    """What the rows of a quarter of an hour add up to. Keys are those of the rollups; `kinds` are K."""

    users: dict[str, Counters] = field(default_factory=dict[str, Counters])
    models: dict[str, Counters] = field(default_factory=dict[str, Counters])
    kinds: Counters = field(default_factory=Counters)
    kinds_of_users: dict[str, Counters] = field(default_factory=dict[str, Counters])


def add_row(quarter: Quarter, row: Document) -> None:
    """Count a row. By hand, since this is done for every row there is."""
    kind, company = row["kind"], row["company"]
    user = user_key(row["user_id"], company["id"] if company else None)
    if kind in USAGE_KINDS:
        usage, runs = row["usage"], int(kind == "usage")
        figures = (
            ("i", usage["input_tokens"]),
            ("c", usage["cached_tokens"]),
            ("o", usage["output_tokens"]),
            ("r", usage["reasoning_tokens"]),
            ("n", runs),
            ("e", int(row["estimated"]) + runs - 1),
        )
        for group, key in ((quarter.users, user), (quarter.models, escape(row["model"]))):
            sums = group.get(key)
            if sums is None:
                sums = group[key] = {}
            for name, value in figures:
                # Counters of nothing are not stored either.
                if value:
                    sums[name] = sums.get(name, 0) + value
    if kind != "usage":
        for kinds in (quarter.kinds, quarter.kinds_of_users.setdefault(user, {})):
            kinds[f"x_{kind}"] = kinds.get(f"x_{kind}", 0) + 1
            kinds[f"t_{kind}"] = kinds.get(f"t_{kind}", 0) + row["tokens"]


def add_bits(users: dict[str, Counters], key: str, bits: Sequence[int]) -> None:
    """Add quarters in which a user had a run: sets of bits, by the user and by `a0` or `a1`."""
    for name, more in zip(ACTIVE_FIELDS, bits, strict=True):
        if more:
            sums = users.setdefault(key, {})
            sums[name] = sums.get(name, 0) | more


def bits_from(first: int, users: Mapping[str, Counters]) -> dict[str, Counters]:
    """Leave out the quarters of the day before a quarter."""
    from_first = zip(ACTIVE_FIELDS, active_bits(_WHOLE_DAY >> first << first), strict=True)
    wanted = [(name, mask) for name, mask in from_first if mask]
    return {key: {name: sums.get(name, 0) & mask for name, mask in wanted} for key, sums in users.items()}


def added(known: Mapping[str, int], more: Mapping[str, int]) -> Counters:
    """Add counters up."""
    sums = dict(known)
    for name, value in more.items():
        sums[name] = sums.get(name, 0) + value
    return sums


def sums_of(groups: Iterable[Mapping[str, int]], *, of_usage: bool = False) -> Counters:
    """Add counters up; `of_usage` leaves out those of other rows."""
    sums: Counters = {}
    for counters in groups:
        for name, value in counters.items():
            if not (of_usage and "_" in name):
                sums[name] = sums.get(name, 0) + value
    return sums


def without_zeros(group: Mapping[str, Mapping[str, int]]) -> dict[str, Counters]:
    """Leave out counters of nothing, and whoever has no others."""
    some = ((key, {name: value for name, value in sums.items() if value}) for key, sums in group.items())
    return {key: sums for key, sums in some if sums}
