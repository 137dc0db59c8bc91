"""Forty minutes without the chat, and Pipedrive's ban on top: afterwards time alone puts everything right.

The measure is the same history in a stack that was never away.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from support.crm import BALANCE, USED, CrmOnTrial, crm_on
from support.crm_history import AWAY_S, ENDS_S, HistoryOnTrial, acts_before, acts_of
from support.crm_loops import crm_loops
from support.fresh import fresh_database
from support.servers import Servers

HOUR_S, DAY_S = 3_600, 86_400
TWO_RECONCILIATIONS_S = 1_800
PAGE, FIELDS, WEBHOOKS, ME, PERSON, WRITE = 10, 10, 10, 2, 1, 5
"""What the calls cost, by docs/pipedrive.md."""
GONE = 5

Away = Literal["nobody", "gateway", "everything"]


@dataclass(frozen=True)
class Ending:
    """All that is left in the end: the accounts, who is who, and what waits."""

    accounts: dict[str, dict[str, Any]]
    linked: dict[int, str]
    waiting: dict[str, str]


async def ending(crm: CrmOnTrial) -> Ending:
    names = ("quota", "balance", "held", "available", "token_grant", "refused_at")
    found = await crm.ledger.db["accounts"].find().to_list(None)
    accounts = {account["_id"]: {name: account[name] for name in names} for account in found}
    return Ending(accounts, await crm.parts.stores.people.all_linked(), await crm.waiting())


def differences(end: Ending, wanted: Ending) -> dict[str, Any]:
    """Name what differs, with how it is and how it should be."""
    found: dict[str, Any] = {}
    for what in ("accounts", "linked", "waiting"):
        is_so, should_be = getattr(end, what), getattr(wanted, what)
        for key in is_so.keys() | should_be.keys():
            if is_so.get(key) != should_be.get(key):
                found[f"{what} {key}"] = (is_so.get(key), should_be.get(key))
    return found


@asynccontextmanager
async def company_on(db_url: str, **settings: Any) -> AsyncGenerator[HistoryOnTrial]:
    async with crm_on(db_url, **settings) as crm, crm_loops(crm) as loops:
        history = HistoryOnTrial(crm, loops)
        for act in acts_before():
            await history.do(act)
        await loops.pass_time(HOUR_S, step_s=60)
        yield history


async def live_through(history: HistoryOnTrial, *, seed: int, on_deleted: str, away: Away) -> None:
    """Have the history happen, and be away for its first forty minutes."""
    crm, started_s = history.crm, history.crm.clock.monotonic_s()
    crm.receiver.is_down = away != "nobody"
    if away == "everything":
        await history.loops.stop()
    for at_s, act in acts_of(seed, on_deleted=on_deleted):
        if crm.receiver.is_down and at_s > AWAY_S:
            await history.pass_until(started_s + AWAY_S, step_s=20)
            await come_back(history, away)
        await history.pass_until(started_s + at_s, step_s=20)
        await history.do(act)
    await history.pass_until(started_s + ENDS_S, step_s=20)


async def come_back(history: HistoryOnTrial, away: Away) -> None:
    """The chat is there again; Pipedrive holds its second ban against it."""
    crm = history.crm
    [webhook] = crm.simulator.deliveries.webhooks.values()
    counts = crm.simulator.deliveries.counts
    assert counts.first_failures >= 20
    assert counts.lost_in_ban >= 50
    assert webhook.is_banned(crm.clock.now())
    crm.receiver.is_down = False
    if away == "everything":
        await history.loops.restart()


def tokens_since(crm: CrmOnTrial, calls_before: int, *, writes: bool) -> int:
    calls = crm.simulator.limits.calls[calls_before:]
    return sum(cost for _, method, _, cost in calls if (method == "PATCH") == writes)


async def ends_of(
    history: HistoryOnTrial, *, seed: int, on_deleted: str, away: Away
) -> tuple[Ending, Ending]:
    """Live through it; return what is soon after, and a day later. The cost of that day is checked too."""
    crm = history.crm
    await live_through(history, seed=seed, on_deleted=on_deleted, away=away)
    quotas = {user_id: account["quota"] for user_id, account in (await ending(crm)).accounts.items()}
    calls_before = len(crm.simulator.limits.calls)
    await history.loops.pass_time(TWO_RECONCILIATIONS_S, step_s=30)
    soon = await ending(crm)
    await history.loops.pass_time(DAY_S, step_s=900)
    end = await ending(crm)
    if away != "nobody":
        assert quotas != {user_id: account["quota"] for user_id, account in end.accounts.items()}
    seconds = DAY_S + TWO_RECONCILIATIONS_S
    turns = seconds // crm.settings.pipedrive_reconcile_every_s
    scheduled = turns * PAGE + seconds // crm.settings.pipedrive_supervise_every_s * WEBHOOKS
    once_a_day = PAGE + FIELDS + ME + FIELDS
    repair = 3 * PAGE + GONE * PERSON
    assert tokens_since(crm, calls_before, writes=False) <= scheduled + once_a_day + repair
    assert tokens_since(crm, calls_before, writes=True) <= 2 * WRITE * len(end.linked)
    return soon, end


def only_by_the_full_comparison(history: HistoryOnTrial) -> set[str]:
    """Name what no list of changes tells: who was deleted, and both users who became one person."""
    names = {"deleted0", "deleted1", "user_merged0"}
    persons = history.crm.simulator.company.persons
    gone = {history.people[name] for name in names if persons[history.people[name]].is_deleted}
    return {f"accounts {name}" for name in names} | {f"linked {person}" for person in gone}


async def shows_what_is_so(crm: CrmOnTrial, end: Ending) -> bool:
    shown = {user_id: crm.shown(person, BALANCE) for person, user_id in end.linked.items()}
    used = {user_id: crm.shown(person, USED) for person, user_id in end.linked.items()}
    rows = await crm.ledger.rows(kind="usage")
    truly_used = {user_id: -sum(r["tokens"] for r in rows if r["user_id"] == user_id) for user_id in used}
    return shown == {u: end.accounts[u]["balance"] for u in shown} and used == truly_used


@pytest.mark.parametrize(
    ("seed", "away", "on_deleted", "on_cleared"),
    [
        (1, "gateway", "keep", "default"),
        (2, "everything", "keep", "default"),
        (3, "gateway", "suspend", "suspend"),
        (4, "everything", "suspend", "suspend"),
    ],
)
async def test_everything_ends_as_if_the_chat_had_never_been_away(
    servers: Servers, db_url: str, seed: int, away: Away, on_deleted: str, on_cleared: str
):
    settings = {"pipedrive_on_deleted": on_deleted, "pipedrive_on_cleared": on_cleared, "token_grant": 250}
    async with company_on(db_url, **settings) as history:
        soon_never_away, never_away = await ends_of(history, seed=seed, on_deleted=on_deleted, away="nobody")
        assert await shows_what_is_so(history.crm, never_away)
    async with fresh_database(servers) as other_db_url, company_on(other_db_url, **settings) as history:
        soon, end = await ends_of(history, seed=seed, on_deleted=on_deleted, away=away)
        assert differences(soon, soon_never_away).keys() <= only_by_the_full_comparison(history)
        assert differences(end, never_away) == {}
        assert await shows_what_is_so(history.crm, end)
