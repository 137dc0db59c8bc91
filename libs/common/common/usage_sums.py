"""Adds up the usage of a span from the documents that it names, one at a time as they are read.

Works on the stored columns as they are: a month of a thousand users is thirty thousand entries of them, and
an object for each would cost more than reading them.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import compress
from typing import Generic, TypeVar

from common.usage_rollup import (
    ACTIVE_FIELDS,
    DAY,
    FIGURE_FIELDS,
    KEYS,
    QUARTER,
    QUARTERS_PER_DAY,
    TOTALS_KEY,
    Document,
    Figures,
    Kind,
    Span,
    active_bits,
    cover,
    day_start,
    escape,
    figures_of_row,
    quarter_start,
    round_up,
    split_user_key,
    unescape,
    user_key,
)

_Counters = list[int]
_RUNS = "n"
_ALL_QUARTERS = (1 << QUARTERS_PER_DAY) - 1

T = TypeVar("T")
K = TypeVar("K")


class UsageSums(Generic[T]):
    """Sums of a span and of its parts: local days, or the whole.

    `parts` are the span cut in order, by a name each; cuts lie on quarters. `details` adds who used what,
    and of which model; without it, only totals are known, and who was active.
    """

    def __init__(self, span: Span, parts: Sequence[tuple[T, Span]], *, details: bool = True) -> None:
        self.span = span
        self.cover = cover(span)
        self.parts = parts
        self.details = details
        self._starts = [part.start for _, part in parts]
        self._sums = [_nothing() for _ in parts]
        self._active: list[set[str]] = [set() for _ in parts]
        self._users: dict[str, _Counters] = {}
        self._models: defaultdict[str, _Counters] = defaultdict(_nothing)

    def needed(self) -> Iterator[tuple[Kind, Span, tuple[str, ...]]]:
        """Name what must be added: documents of a kind and a time, and the fields to read of them, or all.

        The rows of the cover's edges must be added as well.
        """
        if self.span.is_empty:
            return
        whole = self.cover.days
        begun = Span(day_start(self.span.start), round_up(self.span.end, day_start(self.span.end), DAY))
        around = [begun] if whole.is_empty else [Span(begun.start, whole.start), Span(whole.end, begun.end)]
        cut_in_days = any(start != day_start(start) for start in self._starts[1:])
        in_quarters = (KEYS, *ACTIVE_FIELDS)
        if not whole.is_empty:
            yield "day", whole, ("totals", "models", *(("quarters",) if cut_in_days else ()))
            in_days = (KEYS, _RUNS, *(ACTIVE_FIELDS if cut_in_days else ()))
            yield "day_users", whole, () if self.details else in_days
        for days in around:
            if not days.is_empty:
                yield "day", days, ("quarters",)
                yield "day_users", days, in_quarters
        if self.details:
            for quarters in self.cover.quarters:
                yield "quarter_users", quarters, ()

    def add(self, document: Document) -> None:
        """Take a document that is needed, or what is not folded into it yet."""
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
        key = user_key(row["user_id"], company["id"] if company else None)
        place = self._place(row["at"])
        stored = figures.stored()
        _add(self._sums[place], stored)
        if self.details:
            self._users[key] = _added(self._users.get(key, _nothing()), figures.counters())
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
        keys = document.get(KEYS, ())
        for active, mask in self._masks(document["at"]):
            active.update(compress(keys, _runs_in(document, mask)))

    def _add_users(self, document: Document) -> None:
        """Add by hand: this is done for every user of every day."""
        if not self.details:
            return
        known = self._users.get
        columns = (document.get(name, ()) for name in FIGURE_FIELDS)
        for key, tokens_in, cached, tokens_out, reasoning, runs, estimated in zip(
            document.get(KEYS, ()), *columns, strict=True
        ):
            sums = known(key)
            if sums is None:
                self._users[key] = [tokens_in, cached, tokens_out, reasoning, runs, estimated]
            else:
                sums[0] += tokens_in
                sums[1] += cached
                sums[2] += tokens_out
                sums[3] += reasoning
                sums[4] += runs
                if estimated:
                    sums[5] += estimated

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
        first_place = max(0, self._place(day))
        for place in range(first_place, bisect_left(self._starts, day + DAY)):
            part, active = self.parts[place][1], self._active[place]
            start, end = round_up(part.start, quarter_start(part.start), QUARTER), quarter_start(part.end)
            first, last = max(0, (start - day) // QUARTER), min(QUARTERS_PER_DAY, (end - day) // QUARTER)
            if first < last:
                yield active, ((1 << (last - first)) - 1) << first

    @cached_property
    def _names(self) -> dict[str, tuple[str, str | None]]:
        return {key: split_user_key(key) for key in self._users.keys() | self._all_active}

    @cached_property
    def _all_active(self) -> set[str]:
        return set[str]().union(*self._active)

    def totals(self) -> Figures:
        return sum((figures for _, figures in self.by_part()), Figures())

    def by_part(self) -> list[tuple[T, Figures]]:
        return [
            (name, Figures.of_counters(sums)) for (name, _), sums in zip(self.parts, self._sums, strict=True)
        ]

    def by_user(self) -> dict[str, Figures]:
        return _grouped((self._names[key][0], sums) for key, sums in self._users.items())

    def by_company(self) -> dict[str | None, Figures]:
        """Return the figures of every company that the runs name, and of the runs without one."""
        return _grouped((self._names[key][1], sums) for key, sums in self._users.items())

    def by_model(self) -> dict[str, Figures]:
        return {unescape(name): Figures.of_counters(sums) for name, sums in self._models.items()}

    def active(self) -> set[tuple[str, str | None]]:
        """Name who had a run, with the company of the run."""
        return {self._names[key] for key in self._all_active}

    def active_users(self, places: Iterable[int] | None = None) -> int:
        """Count who had a run, in the whole or in the parts at some places."""
        keys = (
            self._all_active
            if places is None
            else set[str]().union(*(self._active[place] for place in places))
        )
        under_several = keys & self._under_several.keys()
        users = {self._under_several[key] for key in under_several}
        return len(keys) - len(under_several) + len(users)

    @cached_property
    def _under_several(self) -> dict[str, str]:
        """Name the users who have more than one key, since their company changed, by each of these."""
        counted = Counter(user_id for user_id, _ in self._names.values())
        return {key: user_id for key, (user_id, _) in self._names.items() if counted[user_id] > 1}


def _runs_in(document: Document, quarters: int) -> Sequence[int]:
    """Tell of each user of a day whether there was a run in some quarters of it: 0 if not."""
    if quarters == _ALL_QUARTERS:
        return document.get(_RUNS, ())
    in_low, in_high = active_bits(quarters)
    low, high = (document.get(name, ()) for name in ACTIVE_FIELDS)
    return [bits & in_low | more & in_high for bits, more in zip(low, high, strict=True)]


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


def _added(sums: Sequence[int], more: Sequence[int]) -> _Counters:
    return [a + b for a, b in zip(sums, more, strict=True)]


def _grouped(counted: Iterable[tuple[K, Sequence[int]]]) -> dict[K, Figures]:
    sums: dict[K, Sequence[int]] = {}
    for name, counters in counted:
        known = sums.get(name)
        sums[name] = counters if known is None else _added(known, counters)
    return {name: Figures.of_counters(counters) for name, counters in sums.items()}
