"""Adds up the usage of a span from the documents that `cover` names, one at a time as they are read.

Works on the stored maps as they are: a month of a thousand users is thirty thousand of them, and an object
for each would cost more than reading them.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Generic, TypeVar

from common.usage_rollup import (
    ACTIVE,
    DAY,
    QUARTER,
    QUARTERS_PER_DAY,
    TOTALS_KEY,
    Document,
    Figures,
    Span,
    active_bits,
    cover,
    escape,
    figures_of_row,
    quarter_start,
    round_up,
    split_user_key,
    unescape,
    user_key,
)

_Counters = list[int]

T = TypeVar("T")


class UsageSums(Generic[T]):
    """Sums of a span and of its parts: local days, or the whole.

    `parts` are the span cut in order, by a name each; cuts lie on quarters. `details` adds who used what,
    and of which model; without it, `day` documents and who was active by the `day_users` are enough.
    """

    def __init__(self, span: Span, parts: Sequence[tuple[T, Span]], *, details: bool = True) -> None:
        self.span = span
        self.cover = cover(span)
        self.parts = parts
        self.details = details
        self._starts = [part.start for _, part in parts]
        self._sums = [_nothing() for _ in parts]
        self._active: list[set[str]] = [set() for _ in parts]
        self._users: defaultdict[str, _Counters] = defaultdict(_nothing)
        self._models: defaultdict[str, _Counters] = defaultdict(_nothing)

    def add(self, document: Document) -> None:
        """Take a rollup, or what is not folded into it yet. Those of the quarters must lie in the cover."""
        match document["kind"]:
            case "day":
                self._add_day(document)
            case "day_users":
                self._add_day_users(document)
            case _:
                self._add_users(document)
                self._add_models(document)

    def add_row(self, row: Document) -> None:
        """Take a row of usage that lies on an edge of the span."""
        figures, company = figures_of_row(row), row["company"]
        key, stored = user_key(row["user_id"], company["id"] if company else None), figures.stored()
        place = self._place(row["at"])
        _add(self._sums[place], stored)
        if self.details:
            _add(self._users[key], stored)
            _add(self._models[escape(row["model"])], stored)
        if figures.runs:
            self._active[place].add(key)

    def _add_day(self, document: Document) -> None:
        day: datetime = document["at"]
        if self._is_whole(day):
            self._add_models(document)
            place = self._place(day)
            if day + DAY <= self.parts[place][1].end:
                _add(self._sums[place], document.get("totals", {}).get(TOTALS_KEY, {}))
                return
        for number, stored in document.get("quarters", {}).items():
            at = day + int(number) * QUARTER
            if self.span.start <= at and at + QUARTER <= self.span.end:
                _add(self._sums[self._place(at)], stored)

    def _add_day_users(self, document: Document) -> None:
        if self._is_whole(document["at"]):
            self._add_users(document)
        stored = document.get(ACTIVE, {})
        for active, mask in self._masks(document["at"]):
            for name, wanted in active_bits(mask):
                active.update([key for key, bits in stored.get(name, {}).items() if bits & wanted])

    def _add_users(self, document: Document) -> None:
        if self.details:
            for key, stored in document.get("users", {}).items():
                _add(self._users[key], stored)

    def _add_models(self, document: Document) -> None:
        if self.details:
            for name, stored in document.get("models", {}).items():
                _add(self._models[name], stored)

    def _is_whole(self, day: datetime) -> bool:
        return self.cover.days.start <= day < self.cover.days.end

    def _place(self, at: datetime) -> int:
        return bisect_right(self._starts, at) - 1

    def _masks(self, day: datetime) -> Iterable[tuple[set[str], int]]:
        """Yield the parts that share whole quarters with a UTC day, with the bits of those quarters."""
        for (_, part), active in zip(self.parts, self._active, strict=True):
            if part.start >= day + DAY or part.end <= day:
                continue
            start, end = round_up(part.start, quarter_start(part.start), QUARTER), quarter_start(part.end)
            first, last = max(0, (start - day) // QUARTER), min(QUARTERS_PER_DAY, (end - day) // QUARTER)
            if first < last:
                yield active, ((1 << (last - first)) - 1) << first

    @cached_property
    def _names(self) -> dict[str, tuple[str, str | None]]:
        keys = set[str]().union(self._users, *self._active)
        return {key: split_user_key(key) for key in keys}

    def totals(self) -> Figures:
        return sum((figures for _, figures in self.by_part()), Figures())

    def by_part(self) -> list[tuple[T, Figures]]:
        return [(name, _figures(sums)) for (name, _), sums in zip(self.parts, self._sums, strict=True)]

    def by_user(self) -> dict[tuple[str, str | None], Figures]:
        """Return the figures of every user under every company that the runs name."""
        return {self._names[key]: _figures(sums) for key, sums in self._users.items()}

    def by_model(self) -> dict[str, Figures]:
        return {unescape(name): _figures(sums) for name, sums in self._models.items()}

    def active(self, places: Iterable[int] | None = None) -> set[tuple[str, str | None]]:
        """Name who had a run, with the company of the run, in the whole or in the parts at some places."""
        chosen = self._active if places is None else [self._active[place] for place in places]
        return {self._names[key] for key in set[str]().union(*chosen)}

    def active_users(self, places: Iterable[int] | None = None) -> set[str]:
        return {user_id for user_id, _ in self.active(places)}


def _nothing() -> _Counters:
    return [0, 0, 0, 0, 0, 0]


def _add(sums: _Counters, stored: Mapping[str, int]) -> None:
    get = stored.get
    sums[0] += get("i", 0)
    sums[1] += get("c", 0)
    sums[2] += get("o", 0)
    sums[3] += get("r", 0)
    sums[4] += get("n", 0)
    sums[5] += get("e", 0)


def _figures(sums: _Counters) -> Figures:
    tokens_in, cached, tokens_out, reasoning, runs, estimated = sums
    return Figures(
        input_tokens=tokens_in,
        cached_tokens=cached,
        output_tokens=tokens_out,
        reasoning_tokens=reasoning,
        runs=runs,
        estimated_runs=estimated,
    )
