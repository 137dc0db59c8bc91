"""The months of users and companies, taken apart into days, so that they are compared day by day."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from common.mongo.client import Document
from common.usage_rollup import (
    DAY,
    KINDS_OF_DAYS,
    KINDS_OF_MONTHS,
    Kind,
    Span,
    day_start,
    escape,
    month_start,
    split_user_key,
    user_key,
)
from usage_ledger.audit.recount import Counters, Quarter, added


def read_for(within: Span) -> Iterator[tuple[Kind, Span, tuple[str, ...]]]:
    """Name the kinds of documents that count whole days, each with their time and the fields to read."""
    for kind in KINDS_OF_DAYS:
        yield kind, within, ()
    start = month_start(within.start)
    fields: tuple[str, ...] = ()
    if month_start(within.end - DAY) == start:
        days = (within.end - within.start) // DAY
        fields = ("owner", "company", *(f"days.{within.start.day + number}" for number in range(days)))
    for kind in KINDS_OF_MONTHS:
        yield kind, Span(start, within.end), fields


def days_of(document: Document, within: Span) -> Iterator[tuple[datetime, str, Counters]]:
    """Take the days of a month apart that lie within: each with its owner's key and its counters."""
    owner = document["owner"]
    is_company = document["kind"] == "company_month"
    key = escape(owner) if is_company else user_key(owner, document["company"])
    first = day_start(document["at"])
    days: dict[str, Counters] = document.get("days") or {}
    for number, counters in days.items():
        day = first + (int(number) - 1) * DAY
        if within.start <= day < within.end:
            yield day, key, counters


def count_quarter(users: dict[str, Counters], quarter: Quarter) -> None:
    """Add the rows of a quarter of an hour to those that each user has in the day."""
    for group in (quarter.users, quarter.kinds_of_users):
        for key, sums in group.items():
            known = users.get(key)
            users[key] = sums if known is None else added(known, sums)


def of_companies(users: Mapping[str, Counters]) -> dict[str, Counters]:
    """Say what companies have, from what their users have."""
    companies: dict[str, Counters] = {}
    for key, sums in users.items():
        _, company = split_user_key(key)
        if company is not None:
            name = escape(company)
            known = companies.get(name)
            companies[name] = sums if known is None else added(known, sums)
    return companies
