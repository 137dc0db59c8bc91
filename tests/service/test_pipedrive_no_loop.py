"""Write-back makes no circle: with all loops running, people and tools editing, and tools that answer us.

Every bound is written from the settings: what is due is counted, and nothing may go beyond it.
"""

import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from pipedrive_sync.domain.write_back import WRITES_MAX, WRITES_WINDOW
from pipedrive_sync.settings import Settings
from simulators.pipedrive.clock import event_time
from simulators.pipedrive.records import Actor, Change
from support.crm import BALANCE, QUOTA, USED, USER_ID, CrmOnTrial, crm_on
from support.crm_loops import CrmLoops, crm_loops
from support.ledger import finished

FULL = 10_000
HOUR_S, MINUTE_S = 3_600, 60
STAMP = "Last seen by a tool"

EDITED = ("u0", "u1", "u2")
TOPPED_UP, ROUNDED, COPIED, EXHAUSTED, LEFT_ALONE = "u3", "u4", "u5", "u6", "u7"


@dataclass
class AnsweringTools:
    """Integrations that do something whenever we wrote, as a company's automations may."""

    crm: CrmOnTrial
    people: dict[str, int]
    rounds: set[str] = field(default_factory=set[str])
    copies: set[str] = field(default_factory=set[str])
    tops_up: set[str] = field(default_factory=set[str])
    _seen: int = 0

    def __post_init__(self) -> None:
        self._seen = len(self.crm.simulator.changes)

    def __call__(self) -> None:
        changes = self.crm.simulator.changes
        while self._seen < len(changes):
            change = changes[self._seen]
            self._seen += 1
            if is_ours(self.crm, change):
                self._answer(change.entity_id)

    def _answer(self, person: int) -> None:
        tool = self.crm.simulator.by_other_tool
        user_id = next(user_id for user_id, its_person in self.people.items() if its_person == person)
        balance = int(self.crm.shown(person, BALANCE))
        self._set(person, STAMP, str(self._seen), by=tool)
        if user_id in self.rounds:
            # An automation acts in the name of whoever made it: here of our own user.
            self._set(
                person, BALANCE, balance // 100 * 100 + 50, by=Actor(self.crm.simulator.admin.id, "app")
            )
        if user_id in self.copies:
            self._set(person, QUOTA, max(0, balance), by=tool)
        if user_id in self.tops_up and balance < FULL // 2:
            self._set(person, QUOTA, int(self.crm.shown(person, QUOTA)) + FULL // 2, by=tool)

    def _set(self, person: int, title: str, value: Any, *, by: Actor) -> None:
        company = self.crm.simulator.company
        company.set_field([person], company.field_named(title).code, value, by=by)


@dataclass
class Company:
    """All of it at work."""

    crm: CrmOnTrial
    loops: CrmLoops
    people: dict[str, int]
    tools: AnsweringTools

    async def use(self, user_id: str, tokens: int) -> None:
        run_id = f"r{self.crm.random.getrandbits(60)}"
        await self.crm.ledger.ledger.settlements.book(
            [finished(run_id, tokens, clock=self.crm.clock, user_id=user_id)]
        )

    async def busy_hour(self) -> None:
        """Use tokens and edit by hand and by API, single people and many at once."""
        simulator, random = self.crm.simulator, self.crm.random
        used = [*EDITED, TOPPED_UP, ROUNDED, COPIED]
        for minute in range(60):
            for user_id in random.sample(used, 2):
                await self.use(user_id, random.choice([10, 100, 700]))
            if minute % 7 == 3:
                self.crm.edit([self.people[random.choice(EDITED)]], FULL + 100 * minute)
            if minute % 9 == 5:
                code = simulator.company.field_named(QUOTA).code
                person = self.people[random.choice(EDITED)]
                simulator.company.set_field([person], code, FULL - 50 * minute, by=simulator.by_other_tool)
            if minute % 20 == 12:
                self.crm.edit([self.people[u] for u in EDITED], FULL + 7 * minute, is_bulk=True)
            if minute % 25 == 10:
                self.crm.edit([self.people[random.choice(EDITED)]], 99_999, title=BALANCE)
            if minute in {20, 40}:
                await self.use(EXHAUSTED, FULL)
            if minute == 30:
                self.crm.edit([self.people[EXHAUSTED]], 2 * FULL)
            await self.loops.pass_time(MINUTE_S, step_s=2)

    async def shows_what_is_so(self) -> bool:
        """Tell whether Pipedrive shows every user's figures as they are in the ledger."""
        for user_id, person in self.people.items():
            used = [r["tokens"] for r in await self.crm.ledger.rows(user_id=user_id, kind="usage")]
            shown = (self.crm.shown(person, USED), self.crm.shown(person, BALANCE))
            if shown != (-sum(used), await self.crm.balance(user_id)):
                return False
        return True


@asynccontextmanager
async def company_on(db_url: str, **settings: Any) -> AsyncGenerator[Company]:
    async with crm_on(db_url, **settings) as crm:
        crm.simulator.company.add_field(STAMP, "text")
        people = {f"u{n}": crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: FULL}) for n in range(8)}
        tools = AnsweringTools(crm, people, copies={COPIED}, tops_up={TOPPED_UP})
        async with crm_loops(crm) as loops:
            loops.neighbours.append(tools)
            await loops.pass_time(HOUR_S / 2, step_s=10)
            company = Company(crm, loops, people, tools)
            assert await company.shows_what_is_so()
            tools.rounds.add(ROUNDED)
            yield company


def is_ours(crm: CrmOnTrial, change: Change) -> bool:
    return change.actor == Actor(crm.simulator.admin.id, "api")


def our_writes(crm: CrmOnTrial, since: datetime) -> dict[int, list[datetime]]:
    """When each person was written, refused and repeated writes too."""
    found: dict[int, list[datetime]] = {}
    for at, method, path, _ in crm.simulator.limits.calls:
        if method == "PATCH" and at > since:
            found.setdefault(int(path.rpartition("/")[2]), []).append(at)
    return found


def quota_edits(crm: CrmOnTrial) -> list[tuple[str, int]]:
    """Whose quota others set in Pipedrive, and to what, in order."""
    key, user_key = (crm.simulator.company.field_named(title).code for title in (QUOTA, USER_ID))
    found: list[tuple[str, int]] = []
    for change in crm.simulator.changes:
        fields = (change.data or {})["custom_fields"]
        if change.action == "create" or key in (change.previous or {}).get("custom_fields", {}):
            assert not is_ours(crm, change)
            found.append((fields[user_key], fields[key]))
    return found


def edits_of_others(crm: CrmOnTrial, person: int, since: datetime) -> int:
    """Count what others changed in our fields of a person."""
    keys = {crm.simulator.company.field_named(title).code for title in (QUOTA, USED, BALANCE)}
    changes = [c for c in crm.simulator.changes if c.entity_id == person and not is_ours(crm, c)]
    return sum(
        datetime.fromisoformat(c.at) > since
        and bool(keys & (c.previous or {}).get("custom_fields", {}).keys())
        for c in changes
    )


def turns(seconds: float, every_s: float) -> int:
    return int(seconds // every_s)


def calls_of(crm: CrmOnTrial, since: datetime) -> Counter[str]:
    found: Counter[str] = Counter()
    for at, method, path, _ in crm.simulator.limits.calls:
        if at > since:
            found[f"{method} {re.sub(r'/[0-9]+$', '/{id}', path)}"] += 1
    return found


def calls_max(settings: Settings, *, edits: int, bulk_edits: int, writes: int) -> Counter[str]:
    """Say what an hour may take: each loop its turns, each edit of a quota one look at the person."""
    return Counter(
        {
            "GET /v2/persons": turns(HOUR_S, settings.pipedrive_reconcile_every_s) + bulk_edits,
            "GET /v1/webhooks": turns(HOUR_S, settings.pipedrive_supervise_every_s),
            "GET /v2/persons/{id}": edits,
            "PATCH /v2/persons/{id}": writes,
        }
    )


async def test_an_hour_of_everything_takes_what_was_changed_and_an_hour_of_nothing_takes_nothing(
    db_url: str,
):
    async with company_on(db_url) as company:
        crm, settings = company.crm, company.crm.settings
        crm.simulator.faults.webhooks.copies = 2
        since, edits_before = crm.clock.now(), len(quota_edits(crm))
        await company.busy_hour()

        rows = await crm.ledger.rows(kind="quota")
        set_in_pipedrive = quota_edits(crm)
        assert sorted((r["user_id"], r["quota_after"]) for r in rows) == sorted(set_in_pipedrive)
        assert len(set_in_pipedrive) - edits_before > 15

        writes = our_writes(crm, since)
        await only_what_changed_was_written(company, writes, since)
        allowed = calls_max(
            settings,
            edits=len(set_in_pipedrive) - edits_before,
            bulk_edits=3,
            writes=sum(map(len, writes.values())),
        )
        assert calls_of(crm, since) <= allowed

        company.tools.rounds.clear()
        company.tools.copies.clear()
        await company.loops.pass_time(2 * settings.pipedrive_write_every_s, step_s=10)
        assert await company.shows_what_is_so()
        since, rows = crm.clock.now(), await crm.ledger.rows(kind="quota")
        commands = len(crm.calls.commands)
        await company.loops.pass_time(HOUR_S, step_s=2)
        assert calls_of(crm, since) == calls_max(settings, edits=0, bulk_edits=0, writes=0)
        assert await crm.ledger.rows(kind="quota") == rows
        assert len(crm.calls.commands) == commands


async def only_what_changed_was_written(
    company: Company, writes: dict[int, list[datetime]], since: datetime
) -> None:
    """Each write has a change of its own; only who has nothing left does not wait for the interval."""
    crm = company.crm
    every = timedelta(seconds=crm.settings.pipedrive_write_every_s)
    balance_key = crm.simulator.company.field_named(BALANCE).code
    ours = [change for change in crm.simulator.changes if is_ours(crm, change)]
    ours_since = Counter(c.entity_id for c in ours if datetime.fromisoformat(c.at) > since)
    assert {person: len(times) for person, times in writes.items()} == ours_since, "a write said nothing new"
    figures = {crm.simulator.company.field_named(title).code for title in (USED, BALANCE)}
    assert all((c.previous or {})["custom_fields"].keys() <= figures for c in ours)
    for user_id, person in company.people.items():
        since_then = await crm.ledger.rows(user_id=user_id, at={"$gt": since})
        changed = len(since_then) + edits_of_others(crm, person, since)
        assert len(writes.get(person, ())) <= changed
        shown = {c.at: c.data["custom_fields"][balance_key] for c in ours if c.data and c.entity_id == person}
        times = sorted(datetime.fromisoformat(at) for at in shown)
        too_soon = [
            after
            for before, after in pairwise(times)
            if after - before < every and shown[event_time(after)] > 0
        ]
        assert too_soon == []
    assert company.people[LEFT_ALONE] not in writes
    assert len(writes[company.people[EXHAUSTED]]) >= 3


async def test_when_a_tool_answers_every_write_and_nothing_else_holds_us_back_there_is_a_bound(db_url: str):
    async with company_on(db_url, pipedrive_write_every_s=1, pipedrive_daily_tokens=10**6) as company:
        crm, person = company.crm, company.people[ROUNDED]
        await company.use(ROUNDED, 1)
        since = crm.clock.now()
        await company.loops.pass_time(HOUR_S, step_s=2)
        writes = our_writes(crm, since)
        assert set(writes) == {person}
        for at in writes[person]:
            within = [one for one in writes[person] if at <= one < at + WRITES_WINDOW]
            assert len(within) <= WRITES_MAX
        assert len(writes[person]) >= 10
        company.tools.rounds.clear()
        await company.loops.pass_time(2 * WRITES_WINDOW.total_seconds(), step_s=2)
        assert await company.shows_what_is_so()
