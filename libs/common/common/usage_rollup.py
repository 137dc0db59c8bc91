"""Usage rolled up, exact in every time zone: the shapes that the ledger writes and dashboards read.

Every zone of today is a multiple of 15 minutes off UTC, also across its changes, so a local day is a
run of whole UTC quarters. Five kinds of documents in `usage_rollups`, each with `kind` and `at` (the
start of its time, indexed together):

- `day`          {_id: "day|2026-11-22", quarters: {"0".."95": F + K}, totals: {"day": F + K},
                  models: {<escaped model>: F}}
- `day_users`    {_id: "day_users|2026-11-22|<shard>", keys: [<user key>], i: [...], .. e: [...],
                  a0: [<bits>], a1: [<bits>]}
- `quarter_users` {_id: "quarter_users|2026-11-22T18:30|<shard>", keys: [<user key>], i: [...], .. e: [...],
                   models: {<escaped model>: F}}
- `user_month`   {_id: "user_month|2026-11|<user key>", owner: <user id>, company: <company id> | None,
                  days: {"1".."31": F + K}}
- `company_month` {_id: "company_month|2026-11|<escaped company>", owner: <company id>, days: {...: F + K}}

F is a map of counters, see `Figures`. K counts the rows that are not usage: `x_<kind>` is how many of a
kind, `t_<kind>` the sum of their tokens; so the ledger's rows are counted without looking at them.
Users are written as columns, one for each counter of F, in the order of `keys`: a map for each user would be
read far more slowly. `a0` and `a1` have the quarters of the day in which the user had a run, one bit each:
0..47 and 48..95; so active users of a local day need no finer document, and are read without what they used.
`totals` and `models` are sums of the document's time. A user key carries the company of the run, so that a
later change of company does not rewrite history. The months of a user and of a company (indexed by `kind`,
`owner`, `at`) tell how many rows they have when, without their rows being looked at. Shards bound the size of
a document: 800,000 users may be active in a day, and 200,000 in a quarter.

A settlement does not touch these wide documents. It inserts one document into `usage_increments`, in the
same database transaction as its rows: {_id, at, parts: [documents of these kinds, holding only what
is to be added]}. The ledger folds increments into the rollups every few seconds. A reader therefore adds
both, read in one snapshot (`common.mongo.usage`), and is exact at any moment.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Literal, cast
from urllib.parse import unquote
from zlib import crc32
from zoneinfo import ZoneInfo

from common.events.ledger import TransactionKind

Document = dict[str, Any]

ROLLUPS = "usage_rollups"
INCREMENTS = "usage_increments"
TRANSACTIONS = "transactions"

Kind = Literal["day", "day_users", "quarter_users", "user_month", "company_month"]
OwnerKind = Literal["user_month", "company_month"]
KINDS_OF_DAYS: tuple[Kind, ...] = ("day", "day_users", "quarter_users")
"""Those whose time lies within one UTC day."""

KINDS_OF_MONTHS: tuple[OwnerKind, ...] = ("user_month", "company_month")

QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
QUARTERS_PER_DAY = 96
_SHARDS: Mapping[str, int] = {"day": 1, "day_users": 8, "quarter_users": 2}
_BITS_PER_FIELD = 48
TOKEN_FIGURES = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
"""What a run used, as rows and runs name it."""

_FIELDS = dict(zip("icorne", (*TOKEN_FIGURES, "runs", "estimated_runs"), strict=True))
FIGURE_FIELDS = tuple(_FIELDS)
"""Names the counters of F, in the order of `Figures`."""

ACTIVE_FIELDS = ("a0", "a1")
KEYS = "keys"
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "day_users": (*FIGURE_FIELDS, *ACTIVE_FIELDS),
    "quarter_users": FIGURE_FIELDS,
}
"""What is written of each user, by the kind of the document."""

TOTALS_KEY = "day"
USAGE_KINDS: frozenset[TransactionKind] = frozenset({"usage", "correction"})


@dataclass(slots=True, kw_only=True)
class Figures:
    """Counters of some runs. Cached tokens are part of input, reasoning tokens of output.

    Not frozen, since a month takes thousands of them, and a frozen one is far slower to make. A correction of
    an estimate counts in the quarter of the correction, so a figure may be negative.
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
        return Figures(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            runs=self.runs + other.runs,
            estimated_runs=self.estimated_runs + other.estimated_runs,
        )

    def __sub__(self, other: "Figures") -> "Figures":
        return Figures(**{name: getattr(self, name) - getattr(other, name) for name in _FIELDS.values()})

    @classmethod
    def of(cls, stored: Mapping[str, int]) -> "Figures":
        """Read the map F; what is absent is zero."""
        return cls(**{name: stored.get(short, 0) for short, name in _FIELDS.items()})

    @classmethod
    def of_counters(cls, counters: Iterable[int]) -> "Figures":
        """Read counters that are in the order of `FIGURE_FIELDS`."""
        tokens_in, cached, tokens_out, reasoning, runs, estimated = counters
        return cls(
            input_tokens=tokens_in,
            cached_tokens=cached,
            output_tokens=tokens_out,
            reasoning_tokens=reasoning,
            runs=runs,
            estimated_runs=estimated,
        )

    def counters(self) -> tuple[int, ...]:
        """Write the counters in the order of `FIGURE_FIELDS`."""
        return tuple(getattr(self, name) for name in _FIELDS.values())

    def stored(self) -> dict[str, int]:
        """Write the map F; what is zero is left out."""
        return {short: value for short, name in _FIELDS.items() if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class KindSum:
    """Rows of one kind, and the signed sum of their tokens."""

    rows: int = 0
    tokens: int = 0

    def __add__(self, other: "KindSum") -> "KindSum":
        return KindSum(self.rows + other.rows, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open time, in UTC."""

    start: datetime
    end: datetime

    @property
    def is_empty(self) -> bool:
        return self.start >= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """How a span is put together: whole UTC days, whole quarters beside them, and what is finer.

    `edges` lie within one quarter each and are added up from the rows of `transactions`.
    """

    days: Span
    quarters: tuple[Span, ...]
    edges: tuple[Span, ...]


def quarter_start(at: datetime) -> datetime:
    at = at.astimezone(UTC)
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def day_start(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def month_start(at: datetime) -> datetime:
    return day_start(at).replace(day=1)


def quarter_of_day(at: datetime) -> int:
    """Number the quarter of the UTC day, 0..95."""
    return (at - day_start(at)) // QUARTER


def document_id(kind: Kind, start: datetime, key: int | str = 0) -> str:
    """Name a document; `key` is a shard, or for months whose they are."""
    match kind:
        case "day":
            return f"day|{start:%Y-%m-%d}"
        case "day_users":
            return f"day_users|{start:%Y-%m-%d}|{key}"
        case "quarter_users":
            return f"quarter_users|{start:%Y-%m-%dT%H:%M}|{key}"
        case "user_month" | "company_month":
            return f"{kind}|{start:%Y-%m}|{key}"


def shard_of(kind: Kind, key: str) -> int:
    return crc32(key.encode()) % _SHARDS[kind]


_NAMES_MAX = 65_536
"""Names whose written form is remembered: the same ones come with every row."""

_ESCAPED = str.maketrans({character: f"%{ord(character):02X}" for character in "%.$~\0"})


@lru_cache(_NAMES_MAX)
def escape(name: str) -> str:
    """Make a name fit for a field: no `.`, `$`, `~` or NUL; readable otherwise, never empty."""
    return name.translate(_ESCAPED) or "%"


def unescape(field: str) -> str:
    return "" if field == "%" else unquote(field, errors="strict")


@lru_cache(_NAMES_MAX)
def user_key(user_id: str, company_id: str | None) -> str:
    """Name a user under a company: `<user>~<company>`, or `<user>` for someone without one."""
    return escape(user_id) if company_id is None else f"{escape(user_id)}~{escape(company_id)}"


@lru_cache(_NAMES_MAX)
def split_user_key(key: str) -> tuple[str, str | None]:
    user, tilde, company = key.partition("~")
    return unescape(user), unescape(company) if tilde else None


def active_bits(quarters: int) -> tuple[int, int]:
    """Cut quarters of a day, one bit each, into those that `a0` has and those that `a1` has."""
    return quarters & ((1 << _BITS_PER_FIELD) - 1), quarters >> _BITS_PER_FIELD


def user_columns(kind: str, users: Mapping[str, Sequence[int]]) -> Document:
    """Write what users have: the counters that `COLUMNS` names for the kind, by user key."""
    keys = sorted(users)
    counters = [users[key] for key in keys]
    return {KEYS: keys} | {name: [of[n] for of in counters] for n, name in enumerate(COLUMNS[kind])}


def users_in(document: Document) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Read what users have: the counters that `COLUMNS` names for the kind, by user key."""
    columns = (document.get(name, ()) for name in COLUMNS[document["kind"]])
    return zip(document.get(KEYS, ()), zip(*columns, strict=True), strict=True)


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


def cover_by_days(span: Span) -> Cover:
    """Put a span together from whole UTC days and edges, which are shorter than a day each."""
    start, end = span.start.astimezone(UTC), span.end.astimezone(UTC)
    first, last = round_up(start, day_start(start), DAY), day_start(end)
    if first > last:
        return Cover(days=Span(start, start), quarters=(), edges=_solid(Span(start, end)))
    return Cover(days=Span(first, last), quarters=(), edges=_solid(Span(start, first), Span(last, end)))


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


def figures_of_row(row: Mapping[str, Any]) -> Figures:
    """Count a stored row as its rollups have it; nothing for a row that is not of usage."""
    if row["kind"] not in USAGE_KINDS:
        return Figures()
    return row_figures(row["kind"], row["usage"], estimated=row["estimated"])


def row_counters(kind: TransactionKind, tokens: int) -> dict[str, int]:
    """Write the map K of one row. A row of usage needs none: its runs and tokens are in F."""
    return {} if kind == "usage" else {f"x_{kind}": 1, f"t_{kind}": tokens}


def kinds_in(stored: Mapping[str, int]) -> Iterator[tuple[TransactionKind, KindSum]]:
    """Read F + K: every kind that has rows."""
    correction = KindSum()
    for field, rows in stored.items():
        if field.startswith("x_"):
            kind = cast(TransactionKind, field[2:])
            found = KindSum(rows, stored.get(f"t_{kind}", 0))
            correction = found if kind == "correction" else correction
            yield kind, found
    if runs := stored.get("n", 0):
        # F has usage with its corrections; a row of usage is a run.
        yield "usage", KindSum(runs, -stored.get("i", 0) - stored.get("o", 0) - correction.tokens)


def parts_within(parts: Iterable[Document], kind: Kind, within: Span) -> Iterator[Document]:
    return (part for part in parts if part["kind"] == kind and within.start <= part["at"] < within.end)


def round_up(at: datetime, floor: datetime, step: timedelta) -> datetime:
    return at if at == floor else floor + step


def _solid(*spans: Span) -> tuple[Span, ...]:
    return tuple(span for span in spans if not span.is_empty)
