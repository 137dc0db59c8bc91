"""Usage rolled up, exact in every time zone: the shapes that the ledger writes and dashboards read.

Every zone of today is a multiple of 15 minutes off UTC, also across its changes, so a local day is a
run of whole UTC quarters. Three kinds of documents in `usage_rollups`, each with `kind` and `at` (the
start of its time, indexed together):

- `day`          {_id: "day|2026-11-22", quarters: {"0".."95": F}, models: {<escaped model>: F}}
- `day_users`    {_id: "day_users|2026-11-22|<shard>", users: {<user key>: F + {a0, a1}}}
- `quarter_users` {_id: "quarter_users|2026-11-22T18:30|<shard>", users: {<user key>: F}}

F is a map of counters, see `Figures`. `a0` and `a1` are the quarters of the day in which the user had a
run, one bit each: 0..47 in `a0`, 48..95 in `a1`; so active users of a local day need no finer document.
`models` are sums of the UTC day. A user key carries the company of the run, so that a later change of
company does not rewrite history. Shards bound the size of a document: 800,000 users may be active in a
day, and 200,000 in a quarter.

A settlement does not touch these wide documents. It inserts one document into `usage_increments`, in the
same database transaction as its rows: {_id, at, parts: [documents of the three kinds, holding only what
is to be added]}. The ledger folds increments into the rollups every few seconds. A reader therefore adds
both, read in one snapshot (`common.mongo.usage.load`), and is exact at any moment.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, cast
from urllib.parse import unquote
from zlib import crc32
from zoneinfo import ZoneInfo

Document = dict[str, Any]

ROLLUPS = "usage_rollups"
INCREMENTS = "usage_increments"
TRANSACTIONS = "transactions"

Kind = Literal["day", "day_users", "quarter_users"]

QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
QUARTERS_PER_DAY = 96
_SHARDS: Mapping[Kind, int] = {"day": 1, "day_users": 8, "quarter_users": 2}
BIT_FIELDS = frozenset({"a0", "a1"})
_BITS_PER_FIELD = 48
_FIELDS = {
    "i": "input_tokens",
    "c": "cached_tokens",
    "o": "output_tokens",
    "r": "reasoning_tokens",
    "n": "runs",
    "e": "estimated_runs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counters of some runs. Cached tokens are part of input, reasoning tokens of output.

    A correction of an estimate counts in the quarter of the correction, so a figure may be negative.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    runs: int = 0
    estimated_runs: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS.values()})

    @classmethod
    def of(cls, stored: Mapping[str, int]) -> "Figures":
        """Read the map F; what is absent is zero."""
        return cls(**{name: stored.get(short, 0) for short, name in _FIELDS.items()})

    def stored(self) -> dict[str, int]:
        """Write the map F; what is zero is left out."""
        return {short: value for short, name in _FIELDS.items() if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open time, in UTC."""

    start: datetime
    end: datetime

    @property
    def is_empty(self) -> bool:
        return self.start >= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class UserUsage:
    """What one user used under one company within the time of one document.

    `active` has the bit of every quarter of the UTC day with a run; `day_users` only, else 0.
    """

    user_id: str
    company_id: str | None
    figures: Figures
    active: int = 0

    def was_active(self, day_start: datetime, within: Span) -> bool:
        """Tell whether a run fell into the part of the day that lies `within` (whole quarters)."""
        first = max(0, (within.start - day_start) // QUARTER)
        last = min(QUARTERS_PER_DAY, -((day_start - within.end) // QUARTER))
        return last > first and bool(self.active >> first & ((1 << (last - first)) - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """How a span is put together: whole UTC days, whole quarters beside them, and what is finer.

    `edges` lie within one quarter each and are added up from the rows of `transactions`.
    """

    days: Span
    quarters: tuple[Span, ...]
    edges: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """All that is needed for one span, read at one moment.

    `days` are documents of kind `day` for every UTC day that the span touches, whole or in part;
    `day_users` likewise; `quarter_users` only of the quarters of the cover; `edge_rows` are rows of
    usage. The same `_id` may come several times, stored and not yet folded: add them up.
    """

    span: Span
    cover: Cover
    days: list[Document]
    day_users: list[Document]
    quarter_users: list[Document]
    edge_rows: list[Document]

    def by_time(self) -> Iterator[tuple[datetime, Figures]]:
        """Yield all usage of the span, by quarter; at the edges by the time of its row."""
        for day in self.days:
            for start, figures in quarters_in(day):
                if self.span.start <= start and start + QUARTER <= self.span.end:
                    yield start, figures
        for row in self.edge_rows:
            yield row["at"], row_usage(row).figures

    def by_user(self) -> Iterator[UserUsage]:
        """Yield all usage of the span, by user and company; the same user may come many times."""
        for document in self.day_users:
            if self.cover.days.start <= document["at"] < self.cover.days.end:
                yield from users_in(document)
        for document in self.quarter_users:
            yield from users_in(document)
        for row in self.edge_rows:
            yield row_usage(row)

    def active_users(self, within: Span) -> set[str]:
        """Name the users with a run in a part of the span; it starts and ends on quarters or at an edge."""
        found = {
            row["user_id"]
            for row in self.edge_rows
            if within.start <= row["at"] < within.end and row_usage(row).active
        }
        start, end = round_up(within.start, quarter_start(within.start), QUARTER), quarter_start(within.end)
        for document in self.day_users:
            if document["at"] < end and start < document["at"] + DAY:
                found |= {
                    usage.user_id
                    for usage in users_in(document)
                    if usage.was_active(document["at"], Span(start, end))
                }
        return found


def quarter_start(at: datetime) -> datetime:
    at = at.astimezone(UTC)
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def day_start(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def quarter_of_day(at: datetime) -> int:
    """Number the quarter of the UTC day, 0..95."""
    return (at - day_start(at)) // QUARTER


def document_id(kind: Kind, start: datetime, shard: int = 0) -> str:
    match kind:
        case "day":
            return f"day|{start:%Y-%m-%d}"
        case "day_users":
            return f"day_users|{start:%Y-%m-%d}|{shard}"
        case "quarter_users":
            return f"quarter_users|{start:%Y-%m-%dT%H:%M}|{shard}"


def shard_of(kind: Kind, key: str) -> int:
    return crc32(key.encode()) % _SHARDS[kind]


def escape(name: str) -> str:
    """Make a name fit for a field: no `.`, `$`, `~` or NUL; readable otherwise, never empty."""
    escaped = "".join(f"%{ord(c):02X}" if c in "%.$~\0" else c for c in name)
    return escaped or "%"


def unescape(field: str) -> str:
    return "" if field == "%" else unquote(field, errors="strict")


def user_key(user_id: str, company_id: str | None) -> str:
    """Name a user under a company: `<user>~<company>`, or `<user>` for someone without one."""
    return escape(user_id) if company_id is None else f"{escape(user_id)}~{escape(company_id)}"


def split_user_key(key: str) -> tuple[str, str | None]:
    user, tilde, company = key.partition("~")
    return unescape(user), unescape(company) if tilde else None


def bits_of(active: int) -> dict[str, int]:
    """Write a day's active quarters as the two fields `a0` and `a1`; what is zero is left out."""
    low, high = active & ((1 << _BITS_PER_FIELD) - 1), active >> _BITS_PER_FIELD
    return {name: bits for name, bits in (("a0", low), ("a1", high)) if bits}


def cover(span: Span) -> Cover:
    """Put a span together from whole days, whole quarters and edges. All parts are disjoint."""
    start, end = span.start.astimezone(UTC), span.end.astimezone(UTC)
    first, last = round_up(start, quarter_start(start), QUARTER), quarter_start(end)
    if first > last:
        return Cover(days=Span(start, start), quarters=(), edges=_solid(Span(start, end)))
    edges = _solid(Span(start, first), Span(last, end))
    first_day, last_day = round_up(first, day_start(first), DAY), day_start(last)
    if first_day > last_day:
        return Cover(days=Span(first, first), quarters=_solid(Span(first, last)), edges=edges)
    quarters = _solid(Span(first, first_day), Span(last_day, last))
    return Cover(days=Span(first_day, last_day), quarters=quarters, edges=edges)


def local_days(span: Span, zone: ZoneInfo) -> Iterator[tuple[date, Span]]:
    """Split a span at the midnights of a zone. Days are 23 to 25 hours long where clocks change."""
    day = span.start.astimezone(zone).date()
    start = span.start
    while start < span.end:
        day_end = datetime.combine(day + DAY, time(), zone).astimezone(UTC)
        end = min(day_end, span.end)
        if start < end:
            yield day, Span(start, end)
        start, day = max(start, end), day + DAY


def quarters_in(day: Document) -> Iterator[tuple[datetime, Figures]]:
    """Yield the quarters of a `day` document that have usage, by their start."""
    for number, stored in cast(dict[str, dict[str, int]], day.get("quarters", {})).items():
        yield day["at"] + int(number) * QUARTER, Figures.of(stored)


def models_in(day: Document) -> Iterator[tuple[str, Figures]]:
    """Yield the models of a UTC day with their figures."""
    for name, stored in cast(dict[str, dict[str, int]], day.get("models", {})).items():
        yield unescape(name), Figures.of(stored)


def users_in(document: Document) -> Iterator[UserUsage]:
    """Yield the users of a `day_users` or `quarter_users` document."""
    for key, stored in cast(dict[str, dict[str, int]], document.get("users", {})).items():
        user_id, company_id = split_user_key(key)
        yield UserUsage(
            user_id=user_id,
            company_id=company_id,
            figures=Figures.of(stored),
            active=stored.get("a0", 0) | stored.get("a1", 0) << _BITS_PER_FIELD,
        )


def row_usage(row: Document) -> UserUsage:
    """Read a row of kind `usage` or `correction` as its rollups have it."""
    figures, company = row_figures(row["kind"], row["usage"], estimated=row["estimated"]), row["company"]
    return UserUsage(
        user_id=row["user_id"],
        company_id=company["id"] if company else None,
        figures=figures,
        active=1 << quarter_of_day(row["at"]) if figures.runs else 0,
    )


def row_figures(kind: str, usage: Mapping[str, int], *, estimated: bool) -> Figures:
    """Count a row: `usage` is one run; `correction` adds the difference to its estimate."""
    is_run = kind == "usage"
    return Figures(
        input_tokens=usage["input_tokens"],
        cached_tokens=usage["cached_tokens"],
        output_tokens=usage["output_tokens"],
        reasoning_tokens=usage["reasoning_tokens"],
        runs=int(is_run),
        estimated_runs=int(estimated) - int(not is_run),
    )


def parts_within(parts: Iterable[Document], kind: Kind, within: Span) -> Iterator[Document]:
    return (part for part in parts if part["kind"] == kind and within.start <= part["at"] < within.end)


def round_up(at: datetime, floor: datetime, step: timedelta) -> datetime:
    return at if at == floor else floor + step


def _solid(*spans: Span) -> tuple[Span, ...]:
    return tuple(span for span in spans if not span.is_empty)
