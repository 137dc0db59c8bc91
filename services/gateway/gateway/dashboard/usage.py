"""The report on usage: from the rollups, exact at the moment of asking."""

from datetime import date

from common.clock import rfc3339
from common.mongo.client import Database
from common.mongo.usage import usage_snapshot
from common.usage_rollup import Span, local_days
from common.usage_sums import UsageSums
from gateway.dashboard.names import Names
from gateway.dashboard.ranges import Range
from gateway.dashboard.shapes import UsageAnswer
from gateway.dashboard.usage_figures import Breakdown, averages_of, previous_of


class UsageReport:
    def __init__(self, db: Database, names: Names) -> None:
        self._db = db
        self._names = names

    async def __call__(self, asked: Range) -> UsageAnswer:
        """Report on a range and on the time of equal length before it."""
        before = asked.previous()
        sums: UsageSums[date] = UsageSums(asked.span, list(local_days(asked.span, asked.zone)))
        earlier: UsageSums[Span] = UsageSums(before, [(before, before)], details=False)
        async with usage_snapshot(self._db) as snapshot:
            await snapshot.sums(sums)
            await snapshot.sums(earlier)
        breakdown = Breakdown(sums)
        people = await self._names.people(breakdown.user_ids)
        companies = await self._names.companies(breakdown.company_ids)
        totals = breakdown.totals()
        return UsageAnswer(
            date_from=rfc3339(asked.span.start),
            date_to=rfc3339(asked.span.end),
            tz=asked.zone.key,
            totals=totals,
            averages=averages_of(totals),
            previous=previous_of(before, earlier),
            by_day=breakdown.days(),
            by_month=breakdown.months(),
            by_company=breakdown.companies(companies),
            by_user=breakdown.users(people),
            by_model=breakdown.models(),
        )
