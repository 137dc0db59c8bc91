"""Counts rows as the rollups have them, but from the shapes alone, not by the code that makes rollups."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.mongo.client import Document
from common.usage_rollup import BIT_FIELDS, USAGE_KINDS, bits_of, escape, user_key

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


def bits(quarter: int) -> Counters:
    """Write that a user had a run in this quarter of the day."""
    return bits_of(1 << quarter)


def added(known: Mapping[str, int], more: Mapping[str, int]) -> Counters:
    """Add counters up, with bits as sets."""
    sums = dict(known)
    for name, value in more.items():
        before = sums.get(name)
        if before is None:
            sums[name] = value
        else:
            sums[name] = before | value if name in BIT_FIELDS else before + value
    return sums


def sums_of(groups: Iterable[Mapping[str, int]], *, of_usage: bool = False) -> Counters:
    """Add counters up, without the bits; `of_usage` leaves out those of other rows as well."""
    sums: Counters = {}
    for counters in groups:
        for name, value in counters.items():
            if name not in BIT_FIELDS and not (of_usage and "_" in name):
                sums[name] = sums.get(name, 0) + value
    return sums


def without_zeros(group: Mapping[str, Mapping[str, int]]) -> dict[str, Counters]:
    """Leave out counters of nothing, and whoever has no others."""
    some = ((key, {name: value for name, value in sums.items() if value}) for key, sums in group.items())
    return {key: sums for key, sums in some if sums}
