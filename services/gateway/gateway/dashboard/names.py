"""Names of users and companies, as the ledger's accounts have them."""

import asyncio
from collections.abc import Iterable, Sequence

from common.clock import Clock
from common.events.envelope import Company
from common.mongo.client import Database, Document
from common.usage_rollup import TRANSACTIONS
from gateway.dashboard.usage_figures import Person

_KEPT_S = 300.0
_COMPANIES_MAX = 10_000


class Names:
    """Looks names up; those of companies are remembered for some minutes, since many are shown at once."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._companies: dict[str, tuple[str, float]] = {}

    async def people(self, user_ids: Iterable[str]) -> dict[str, Person]:
        """Return those of the users that have an account."""
        ids = list(dict.fromkeys(user_ids))
        found = self._db["accounts"].find({"_id": {"$in": ids}}, {"name": 1, "email": 1, "company": 1})
        people = {
            account["_id"]: Person(
                name=account["name"],
                email=account["email"],
                company=Company.model_validate(account["company"]) if account["company"] else None,
            )
            async for account in found
        }
        self._remember(person.company for person in people.values())
        return people

    async def companies(self, company_ids: Sequence[str]) -> dict[str, str]:
        """Return the names of companies by their ids. Asked after `people`, it knows most of them already."""
        now_s = self._clock.monotonic_s()
        unknown = [key for key in company_ids if self._companies.get(key, ("", 0.0))[1] <= now_s]
        if unknown:
            found = await self._of_users(unknown)
            left = set(unknown) - {company.id for company in found}
            self._remember([*found, *await asyncio.gather(*(self._of_rows(key) for key in left))])
        return {key: self._companies[key][0] for key in company_ids if key in self._companies}

    async def _of_users(self, company_ids: Sequence[str]) -> list[Company]:
        """Ask one user of each company. In the order of an index, MongoDB reads no other."""
        stages: list[Document] = [
            {"$match": {"company.id": {"$in": company_ids}}},
            {"$sort": {"company.id": 1, "_id": 1}},
            {"$group": {"_id": "$company.id", "company": {"$first": "$company"}}},
        ]
        found = self._db["accounts"].aggregate(stages)
        return [Company.model_validate(group["company"]) async for group in found]

    async def _of_rows(self, company_id: str) -> Company | None:
        """Ask one row of a company that all users have left."""
        found = await self._db[TRANSACTIONS].find_one({"company.id": company_id}, {"company": 1})
        return Company.model_validate(found["company"]) if found else None

    def _remember(self, companies: Iterable[Company | None]) -> None:
        if len(self._companies) > _COMPANIES_MAX:
            self._companies.clear()
        until_s = self._clock.monotonic_s() + _KEPT_S
        self._companies.update({c.id: (c.name, until_s) for c in companies if c is not None})
