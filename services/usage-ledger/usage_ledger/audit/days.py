"""Compares the rollups with a recount of the rows: every quarter, company, user and model of each day.

A day is recounted while its rows come by and compared once they have, so one day is in memory at a time.
What is still growing is recounted last, from rows that are read in one moment with their rollups.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime

from common.mongo.client import Database, Document
from common.mongo.usage import UsageSnapshot, usage_snapshot
from common.usage_rollup import (
    COLUMNS,
    DAY,
    FIGURE_FIELDS,
    KEYS,
    KINDS_OF_MONTHS,
    QUARTER,
    QUARTERS_PER_DAY,
    ROLLUPS,
    TOTALS_KEY,
    Kind,
    Span,
    active_bits,
    day_start,
    quarter_of_day,
    users_in,
)
from usage_ledger.audit.months import count_quarter, days_of, of_companies, read_for
from usage_ledger.audit.recount import (
    Counters,
    Quarter,
    add_bits,
    add_row,
    added,
    bits_from,
    sums_of,
    without_zeros,
)
from usage_ledger.audit.violation import DAMAGED, Violation

Groups = dict[str, dict[str, Counters]]
"""Counters by group and name. Groups are those of a day's documents, its users and who was active, users and
models of quarters, and `user_month` and `company_month`."""

_OF_DAYS = ("quarters", "totals", "models")
_USERS = "users"
_ACTIVE = "active"
_UNREADABLE = "what cannot be read"
"""A group that no rows have."""

_TRIES_MAX = 3
_QUARTER_S = QUARTER.total_seconds()
_FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


class Days:
    """Counts rows by quarters, and compares each UTC day that is over with its rollups.

    With `since`, the start of a quarter of an hour, only what came from then on is compared. What a day's
    documents say as a whole must then agree with what they say of their quarters. Rows from `live_from` on
    may still come, so they are read by `compare_live`.
    """

    def __init__(self, db: Database, *, since: datetime | None, live_from: datetime) -> None:
        self._db = db
        self._since = since
        self._live_from = max(live_from, since) if since else live_from
        self._live_quarter = _quarter_of(self._live_from)
        self._quarters: dict[int, Quarter] = {}
        self._compared = self._live_from

    def start(self, at: datetime) -> None:
        """Say from when on rows will be added."""
        self._compared = day_start(at)

    async def first(self) -> datetime | None:
        """Return the first day that has rollups."""
        found = await self._db[ROLLUPS].find_one({"kind": "day"}, {"at": 1}, sort=[("at", 1)])
        return found["at"] if found else None

    def add(self, row: Document) -> None:
        quarter = _quarter_of(row["at"])
        if quarter < self._live_quarter:
            counted = self._quarters.get(quarter)
            if counted is None:
                counted = self._quarters[quarter] = Quarter()
            add_row(counted, row)

    async def compare(self, until: datetime) -> AsyncIterator[Violation]:
        """Compare the days that are over by now, and forget them: all rows before `until` were added."""
        end = day_start(min(until, self._live_from))
        start, self._compared = self._compared, max(end, self._compared)
        if start >= end:
            return
        stored: dict[datetime, Groups] = {}
        days = Span(start, end)
        for kind, time, fields in read_for(days):
            wanted = {"kind": kind, "at": {"$gte": time.start, "$lt": time.end}}
            shown = dict.fromkeys(("at", "kind", *fields), 1) if fields else None
            async for document in self._db[ROLLUPS].find(wanted, shown):
                _add(stored, document, days)
        day = start
        while day < end:
            counted = self._counted(day)
            of_day = stored.pop(day, {})
            if counted or of_day:
                async for violation in self._compare_day(day, counted, of_day):
                    yield violation
            day += DAY

    async def compare_live(self) -> AsyncIterator[Violation]:
        """Compare the days that are not over; what may move is read together, in one moment."""
        found: list[Violation] = []
        for _ in range(_TRIES_MAX):
            found = await self._live_differences()
            if not found:
                return
        for violation in found:
            yield violation

    async def _compare_day(
        self, day: datetime, counted: Mapping[int, Quarter], stored: Groups
    ) -> AsyncIterator[Violation]:
        first = self._first_quarter(day)
        if not differences(day, counted, stored, first):
            return
        # Increments may be under way to the documents, so the two are read once more, in one moment.
        async with usage_snapshot(self._db) as snapshot:
            again = await _stored(snapshot, Span(day, day + DAY))
        for violation in differences(day, counted, again.get(day, {}), first):
            yield violation

    async def _live_differences(self) -> list[Violation]:
        first_day = day_start(self._live_from)
        counted: dict[datetime, dict[int, Quarter]] = {first_day: self._counted(first_day, keep=True)}
        fresh: dict[int, Quarter] = {}
        async with usage_snapshot(self._db) as snapshot:
            stored = await _stored(snapshot, Span(first_day, _FOREVER))
            async for row in snapshot.rows(Span(self._live_from, _FOREVER)):
                add_row(fresh.setdefault(_quarter_of(row["at"]), Quarter()), row)
        for quarter, of_quarter in fresh.items():
            at = _start_of(quarter)
            counted.setdefault(day_start(at), {})[quarter_of_day(at)] = of_quarter
        return [
            violation
            for day in sorted(counted.keys() | stored.keys())
            for violation in differences(
                day, counted.get(day, {}), stored.get(day, {}), self._first_quarter(day)
            )
        ]

    def _counted(self, day: datetime, *, keep: bool = False) -> dict[int, Quarter]:
        """Take the quarters of a day, numbered within it."""
        first = _quarter_of(day)
        take = self._quarters.get if keep else self._quarters.pop
        taken = ((number, take(first + number, None)) for number in range(QUARTERS_PER_DAY))
        return {number: quarter for number, quarter in taken if quarter is not None}

    def _first_quarter(self, day: datetime) -> int:
        """Say from which quarter of the day on rows were counted."""
        return quarter_of_day(self._since) if self._since and day_start(self._since) == day else 0


async def _stored(snapshot: UsageSnapshot, within: Span) -> dict[datetime, Groups]:
    stored: dict[datetime, Groups] = {}
    for kind, time, fields in read_for(within):
        async for document in snapshot.documents(kind, time, fields=fields):
            _add(stored, document, within)
    return stored


def _add(stored: dict[datetime, Groups], document: Document, within: Span) -> None:
    """Add a document to what is stored of its days. One that cannot be read is in a group of its own."""
    try:
        _merge(stored, document, within)
    except DAMAGED:
        of_day = stored.setdefault(max(day_start(document["at"]), within.start), {})
        of_day[_UNREADABLE] = of_day.get(_UNREADABLE, {}) | {str(document["_id"]): {"documents": 1}}


def differences(day: datetime, counted: Mapping[int, Quarter], stored: Groups, first: int) -> list[Violation]:
    """Compare what a day's documents say with its rows from the quarter `first` on."""
    expected = _expected(counted)
    if first:
        # The day began before the first row that was counted, so its parts are held against its quarters.
        quarters = stored.get("quarters", {}).values()
        whole, of_usage = sums_of(quarters), sums_of(quarters, of_usage=True)
        given = {"totals": whole, "models": of_usage, _USERS: of_usage, "user_month": whole}
        expected |= {name: {"all": sums} for name, sums in given.items()}
        expected["company_month"] = of_companies(stored.get("user_month", {}))
        stored = stored | {name: {"all": sums_of(stored.get(name, {}).values())} for name in given}
        stored = {name: group for name, group in stored.items() if _is_from(name, first)}
        stored["quarters"] = {n: sums for n, sums in stored.get("quarters", {}).items() if int(n) >= first}
        stored[_ACTIVE] = bits_from(first, stored.get(_ACTIVE, {}))
    return list(_differing(day, stored, expected))


def _is_from(group: str, first: int) -> bool:
    _, _, number = group.partition(" of quarter ")
    return not number or int(number) >= first


def _merge(stored: dict[datetime, Groups], document: Document, within: Span) -> None:
    """Add a document to what is stored of its days; increments that are not folded are such documents too."""
    kind: Kind = document["kind"]
    if kind in KINDS_OF_MONTHS:
        for day, key, counters in days_of(document, within):
            _put(stored.setdefault(day, {}).setdefault(kind, {}), key, counters)
        return
    groups = stored.setdefault(day_start(document["at"]), {})
    suffix = f" of quarter {quarter_of_day(document['at'])}" if kind == "quarter_users" else ""
    for name in _OF_DAYS:
        of_group: dict[str, Counters] = document.get(name) or {}
        for key, counters in of_group.items():
            _put(groups.setdefault(name + suffix, {}), key, counters)
    if kind in COLUMNS:
        _merge_users(groups, suffix, document)


def _merge_users(groups: Groups, suffix: str, document: Document) -> None:
    columns = (KEYS, *COLUMNS[document["kind"]])
    if len({len(document.get(name, ())) for name in columns}) > 1:
        # Nobody can tell what is whose, so it counts as nothing.
        return
    users, active = groups.setdefault(_USERS + suffix, {}), groups.setdefault(_ACTIVE, {})
    figures = len(FIGURE_FIELDS)
    for key, counters in users_in(document):
        named = zip(FIGURE_FIELDS, counters[:figures], strict=True)
        _put(users, key, {name: value for name, value in named if value})
        if bits := counters[figures:]:
            add_bits(active, key, bits)


def _put(group: dict[str, Counters], key: str, counters: Counters) -> None:
    known = group.get(key)
    if not isinstance(counters, dict):
        raise TypeError(key)
    group[key] = counters if known is None else added(known, counters)


def _expected(counted: Mapping[int, Quarter]) -> Groups:
    """Say what the documents of a day must be, from its rows."""
    groups: Groups = {name: {} for name in (*_OF_DAYS, _USERS, _ACTIVE, "user_month")}
    for number, quarter in counted.items():
        whole = sums_of(quarter.models.values()) | quarter.kinds
        groups["quarters"][str(number)] = whole
        groups["totals"][TOTALS_KEY] = added(groups["totals"].get(TOTALS_KEY, {}), whole)
        bits = active_bits(1 << number)
        for key, sums in quarter.users.items():
            _put(groups[_USERS], key, sums)
            if sums.get("n"):
                add_bits(groups[_ACTIVE], key, bits)
        count_quarter(groups["user_month"], quarter)
        for model, sums in quarter.models.items():
            _put(groups["models"], model, sums)
        groups[f"{_USERS} of quarter {number}"] = quarter.users
        groups[f"models of quarter {number}"] = quarter.models
    groups["company_month"] = of_companies(groups["user_month"])
    return groups


def _differing(day: datetime, stored: Groups, expected: Groups) -> Iterator[Violation]:
    for name in sorted(stored.keys() | expected.keys()):
        of_rows, of_documents = expected.get(name, {}), stored.get(name, {})
        if of_rows == of_documents:
            continue
        counted, said = without_zeros(of_rows), without_zeros(of_documents)
        if counted == said:
            continue
        keys = [key for key in sorted(said.keys() | counted.keys()) if said.get(key) != counted.get(key)]
        what = f"{name}: {_said(said.get(keys[0], {}))}, the rows have {_said(counted.get(keys[0], {}))}"
        more = f", and {len(keys) - 1} more" if len(keys) > 1 else ""
        yield Violation(code="I12", what=what + more, ids={"day": f"{day:%Y-%m-%d}", "key": keys[0]})


def _said(sums: Mapping[str, int]) -> str:
    return ", ".join(f"{field}={value}" for field, value in sorted(sums.items())) or "nothing"


def _quarter_of(at: datetime) -> int:
    """Number the quarters of all time."""
    return int(at.timestamp() // _QUARTER_S)


def _start_of(quarter: int) -> datetime:
    return datetime.fromtimestamp(quarter * _QUARTER_S, UTC)
