"""From sums to the figures that are shown: days, months, companies, users, models, averages. Pure.

Whatever is cut off a list is added up in its last row, so every breakdown sums to the totals.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from common.clock import rfc3339
from common.events.envelope import Company
from common.usage_rollup import Figures, Span
from common.usage_sums import UsageSums
from gateway.dashboard.shapes import (
    Averages,
    CompanyUsage,
    DayUsage,
    ModelUsage,
    MonthUsage,
    Previous,
    UsageOfMany,
    UserUsage,
)

ROWS_MAX = 200
MODELS_MAX = 50
OTHER_MODELS = "other"

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who a user is, as the account says."""

    name: str | None
    email: str | None
    company: Company | None


NOBODY = Person(name=None, email=None, company=None)


class Breakdown:
    """The figures of a span that is cut into local days."""

    def __init__(self, sums: UsageSums[date], *, rows_max: int = ROWS_MAX) -> None:
        self._sums = sums
        self._of_users, self._of_companies = sums.by_user(), sums.by_company()
        self._active = sums.active()
        self._users, self._other_users = _top(self._of_users, rows_max)
        self._companies, self._other_companies = _top(self._of_companies, rows_max)

    @property
    def user_ids(self) -> Sequence[str]:
        """Name the users that are shown."""
        return self._users

    @property
    def company_ids(self) -> Sequence[str]:
        """Name the companies that are shown."""
        return [company_id for company_id in self._companies if company_id is not None]

    def totals(self) -> UsageOfMany:
        return totals_of(self._sums)

    def days(self) -> list[DayUsage]:
        """Show every day of the range, also those without usage."""
        return [
            DayUsage(day=day.isoformat(), **usage_of(figures), active_users=self._active_in([place]))
            for place, (day, figures) in enumerate(self._sums.by_part())
        ]

    def months(self) -> list[MonthUsage]:
        figures: defaultdict[str, Figures] = defaultdict(Figures)
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, (day, of_day) in enumerate(self._sums.by_part()):
            month = f"{day:%Y-%m}"
            figures[month] += of_day
            places[month].append(place)
        return [
            MonthUsage(month=month, **usage_of(sums), active_users=self._active_in(places[month]))
            for month, sums in figures.items()
        ]

    def companies(self, names: Mapping[str, str]) -> list[CompanyUsage]:
        active = Counter(company_id for _, company_id in self._active)
        rows = [
            CompanyUsage(
                company=None if key is None else Company(id=key, name=names.get(key, key)),
                **usage_of(self._of_companies[key]),
                active_users=active[key],
                rest=0,
            )
            for key in self._companies
        ]
        if rest := set(self._other_companies):
            figures = _sum(self._of_companies[key] for key in rest)
            users = {user_id for user_id, company_id in self._active if company_id in rest}
            rows.append(
                CompanyUsage(company=None, **usage_of(figures), active_users=len(users), rest=len(rest))
            )
        return rows

    def users(self, people: Mapping[str, Person]) -> list[UserUsage]:
        rows = [_user_row(key, people.get(key, NOBODY), self._of_users[key], rest=0) for key in self._users]
        if rest := self._other_users:
            figures = _sum(self._of_users[key] for key in rest)
            rows.append(_user_row(None, NOBODY, figures, rest=len(rest)))
        return rows

    def models(self) -> list[ModelUsage]:
        figures = self._sums.by_model()
        shown, rest = _top(figures, MODELS_MAX)
        rows = [ModelUsage(model=model, **usage_of(figures[model])) for model in shown]
        if rest:
            rows.append(ModelUsage(model=OTHER_MODELS, **usage_of(_sum(figures[key] for key in rest))))
        return rows

    def _active_in(self, places: list[int]) -> int:
        return self._sums.active_users(places)


def usage_of(figures: Figures) -> dict[str, int]:
    """Write the members of `shapes.Usage`."""
    return {
        "total_tokens": figures.total_tokens,
        "input_tokens": figures.input_tokens,
        "cached_tokens": figures.cached_tokens,
        "output_tokens": figures.output_tokens,
        "reasoning_tokens": figures.reasoning_tokens,
        "runs": figures.runs,
        "estimated_runs": figures.estimated_runs,
    }


def totals_of(sums: UsageSums[K]) -> UsageOfMany:
    return UsageOfMany(**usage_of(sums.totals()), active_users=sums.active_users())


def averages_of(totals: UsageOfMany) -> Averages:
    """Divide, to one tenth."""
    return Averages(
        tokens_per_run=_ratio(totals.total_tokens, totals.runs),
        tokens_per_active_user=_ratio(totals.total_tokens, totals.active_users),
        runs_per_active_user=_ratio(totals.runs, totals.active_users),
    )


def previous_of(span: Span, sums: UsageSums[K]) -> Previous:
    totals = totals_of(sums)
    return Previous(
        date_from=rfc3339(span.start),
        date_to=rfc3339(span.end),
        totals=totals,
        averages=averages_of(totals),
    )


def _user_row(user_id: str | None, person: Person, figures: Figures, *, rest: int) -> UserUsage:
    return UserUsage(
        user_id=user_id,
        name=person.name,
        email=person.email,
        company=person.company,
        **usage_of(figures),
        rest=rest,
    )


def _top(figures: Mapping[K, Figures], rows_max: int) -> tuple[list[K], list[K]]:
    """Order by tokens, then by runs, then by name; what does not fit beside one row for the rest is cut."""

    def order(key: K) -> tuple[int, int, str]:
        return -figures[key].total_tokens, -figures[key].runs, str(key)

    ordered = sorted(figures, key=order)
    if len(ordered) <= rows_max:
        return ordered, []
    return ordered[: rows_max - 1], ordered[rows_max - 1 :]


def _sum(figures: Iterable[Figures]) -> Figures:
    return sum(figures, Figures())


def _ratio(whole: int, parts: int) -> float | None:
    return round(whole / parts, 1) if parts else None
