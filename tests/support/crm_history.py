"""A history of a company's people by which two stacks can be compared: the same acts at the same times."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from simulators.pipedrive.records import emails_of
from support.crm import QUOTA, USER_ID, CrmOnTrial
from support.crm_loops import CrmLoops
from support.ledger import finished
from usage_ledger.domain.account import Profile

MINUTE_S = 60.0
AWAY_S = 40 * MINUTE_S
"""So long the chat is away, from the first act on."""
ENDS_S = 55 * MINUTE_S

EDITED = [f"edited{n}" for n in range(8)]
BY_EMAIL = ["email0", "email1", "email2"]
"""They have no user id in the CRM; their users were there before."""

Act = tuple[Any, ...]


@dataclass
class Acts:
    """What happens, in order of time. People are called by names, which are their user ids as well."""

    random: Random
    planned: list[tuple[float, Act]] = field(default_factory=list[tuple[float, Act]])

    def at(self, times_s: Iterable[float], *acts: Act) -> None:
        self.planned += zip(sorted(times_s), acts, strict=True)

    def some_time(self, *acts: Act) -> None:
        """Let these happen one after the other, at any times."""
        self.at((self.random.uniform(0, ENDS_S) for _ in acts), *acts)

    @property
    def in_order(self) -> list[tuple[float, Act]]:
        return sorted(self.planned, key=lambda planned: planned[0])


def acts_before() -> list[Act]:
    """Fill the company: all of these are known and settled when the history begins."""
    people = [*EDITED, "cleared0", "cleared1", "cleared2", "odd0", "odd1", "moved0"]
    people += ["deleted0", "deleted1", "loser0", "loser1", "user_merged0", "user_left0"]
    acts: list[Act] = [("create", name, {USER_ID: name, QUOTA: 1_000 + n}) for n, name in enumerate(people)]
    acts += [("open", name) for name in (*BY_EMAIL, "early0", "early1", "loser2")]
    acts += [("create", name, {"email": f"{name}@x.example", QUOTA: 3_000}) for name in (*BY_EMAIL, "loser2")]
    acts += [("create", name, {QUOTA: 5_000}) for name in ("winner0", "winner2")]
    acts += [("create", name, {}) for name in ("winner1", "nameless0")]
    return acts


def acts_of(seed: int, *, on_deleted: str) -> list[tuple[float, Act]]:
    """Plan an hour of changes, more than enough of them for a ban, and for another when that has ended."""
    acts = Acts(Random(seed))
    number = acts.random.randrange
    # Made, with and without a quota, for users who are there, who come later, and whom nobody knows yet.
    acts.some_time(("create", "new0", {USER_ID: "new0", QUOTA: 700}))
    acts.some_time(("create", "new1", {USER_ID: "new1"}))
    acts.some_time(("create", "new2", {USER_ID: "new2"}), ("edit", "new2", 900), ("edit", "new2", 950))
    acts.some_time(("create", "early0", {"email": "early0@x.example", QUOTA: 4_000}))
    acts.some_time(("create", "late0", {"email": "late0@x.example", QUOTA: 600}), ("open", "late0"))
    acts.some_time(("open", "late1"), ("create", "late1", {"email": "late1@x.example", QUOTA: 800}))
    acts.some_time(("create", "stranger0", {"email": "stranger0@x.example", QUOTA: 10}))
    # Emptied, also after an edit and before one; no quota, for good and for a while.
    acts.some_time(("edit", "cleared0", None))
    acts.some_time(("edit", "cleared1", number(9_000)), ("edit", "cleared1", None))
    acts.some_time(("edit", "cleared2", None), ("edit", "cleared2", number(9_000)))
    acts.some_time(("edit", "odd0", -5))
    acts.some_time(("edit", "odd1", 1.5), ("edit", "odd1", number(9_000)))
    # Who is who: renamed, other addresses, another user id.
    acts.some_time(("rename", "edited0"), ("rename", "email0"))
    acts.some_time(("email", "email1", "elsewhere@x.example"), ("edit", "email1", number(9_000)))
    acts.some_time(("edit", "nameless0", number(9_000)), ("email", "nameless0", "early1@x.example"))
    acts.some_time(("user_id", "moved0", "moved1"))
    # Gone.
    acts.some_time(("merge", "loser0", "winner0"))
    acts.some_time(("merge", "loser1", "winner1"))
    acts.some_time(("merge", "loser2", "winner2"), ("edit", "winner2", number(9_000)))
    acts.some_time(("delete", "deleted0"))
    if on_deleted == "suspend":
        acts.some_time(("delete", "deleted1"))
    else:
        acts.some_time(("merge", "user_merged0", "user_left0"), ("edit", "user_left0", number(9_000)))
    # The daily business, by hand and by another tool, somebody twice at once, and all in a list view.
    for minute in range(int(ENDS_S / MINUTE_S)):
        kind = acts.random.choice(["edit", "tool", "twice"])
        acts.at([minute * MINUTE_S + 20], (kind, acts.random.choice(EDITED), number(9_000)))
        if minute % 4 == 1:
            acts.at([minute * MINUTE_S + 40], ("bulk", EDITED, number(9_000)))
        used = acts.random.choice([*EDITED, *BY_EMAIL, "loser0", "deleted0"])
        acts.at([minute * MINUTE_S + 50], ("use", used, number(1, 400)))
    return acts.in_order


class HistoryOnTrial:
    """Has acts done in one stack."""

    def __init__(self, crm: CrmOnTrial, loops: CrmLoops) -> None:
        self.crm = crm
        self.loops = loops
        self.people: dict[str, int] = {}
        self._runs = 0

    async def do(self, act: Act) -> None:
        match act:
            case ("open", user_id):
                profile = Profile(user_id=user_id, name=user_id, email=f"{user_id}@x.example")
                await self.crm.ledger.ledger.accounts.open(profile)
            case ("use", user_id, tokens):
                self._runs += 1
                run = finished(f"r{self._runs}", tokens, clock=self.crm.clock, user_id=user_id)
                await self.crm.ledger.ledger.settlements.book([run])
            case ("create", name, values):
                self.people[name] = self.crm.person(name, **values)
            case ("twice", name, value):
                self._set([name], QUOTA, value + 1)
                self.crm.clock.pass_s(0.4)
                self._set([name], QUOTA, value)
            case ("edit" | "tool" as kind, name, value):
                self._set([name], QUOTA, value, by_tool=kind == "tool")
            case ("bulk", names, value):
                self._set(names, QUOTA, value)
            case ("user_id", name, user_id):
                self._set([name], USER_ID, user_id)
            case _:
                self._change_person(act)

    def _set(self, names: Sequence[str], title: str, value: Any, *, by_tool: bool = False) -> None:
        simulator, people = self.crm.simulator, [self.people[name] for name in names]
        by = simulator.by_other_tool if by_tool else simulator.by_hand
        code = simulator.company.field_named(title).code
        simulator.company.set_field(people, code, value, by=by, is_bulk=len(people) > 1)

    def _change_person(self, act: Act) -> None:
        company, by = self.crm.simulator.company, self.crm.simulator.by_hand
        kind, name, *more = act
        record = company.persons[self.people[name]]
        match kind, *more:
            case ("rename",):
                company.change(record, {"name": f"{name} anew"}, by=by)
            case ("email", address):
                company.change(record, {"emails": emails_of(address)}, by=by)
            case ("merge", winner):
                company.merge(record, company.persons[self.people[winner]], by=by)
            case ("delete",):
                company.delete(record, by=by)
            case _:
                raise AssertionError(act)

    async def pass_until(self, at_s: float, *, step_s: float) -> None:
        """Let time pass until so long after the start."""
        left_s = at_s - self.crm.clock.monotonic_s()
        if left_s > 0:
            await self.loops.pass_time(left_s, step_s=step_s)
