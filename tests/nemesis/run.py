"""`make nemesis SEED=1 MINUTES=10`: break everything under load, then ask where every token went."""

import argparse
import asyncio
import json
import random
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from common.amqp import topology
from nemesis.breaking import Breaking
from nemesis.users import Seen, User
from nemesis.verdict import Verdict, judge
from support.faulty_stack import FaultyStack, running_faulty_stack
from support.servers import PrivateServers, servers_to_break

RESULTS = Path("bench-results")
USERS = 20
DRAINED_WITHIN_S = 60.0
_WAITS_S = 300.0
"""How long it is waited for what is late already, so that the verdict is of something that stands still."""
_AUDIT_SHOWN = 2_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

ENV = {
    # A provider that keeps its responses, as the default assistant asks for: then nothing may be estimated
    # but what a user stopped.
    "OAI_ASSISTANT": "test-background",
    "DRAIN_S": "3",
    "STREAMS_PER_USER": "100",
    "TOKEN_BALANCE": "100000000",
}


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All that one run of the nemesis found."""

    seed: int
    minutes: float
    faults: dict[str, int]
    seen: Seen
    verdict: Verdict
    drained_s: float
    orphaned_holds: int
    """Holds of messages whose gateway died half way: no run of theirs ever began."""
    dead_letters: int
    audit: str
    errors: list[str]
    """What the processes logged as errors. Not wrong by itself: it tells where to look."""
    problems: list[str] = field(default_factory=list[str])

    @property
    def has_passed(self) -> bool:
        return not self.problems

    def save(self) -> Path:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"nemesis-{self.seed}.json"
        verdict, seen = self.verdict, self.seen
        sums = ("provider", "reported", "unreported", "missed", "abandoned", "booked", "estimated")
        fields = {
            "seed": self.seed,
            "minutes": self.minutes,
            "passed": self.has_passed,
            "faults_total": sum(self.faults.values()),
            "faults": self.faults,
            "runs_total": verdict.states.total(),
            "runs": verdict.states,
            "answers": seen.statuses,
            "refusals": seen.refusals,
            "connections": seen.connections,
            "tokens": {name: asdict(getattr(verdict, name)) for name in sums},
            "drained_s": self.drained_s,
            "orphaned_holds": self.orphaned_holds,
            "dead_letters": self.dead_letters,
            "audit": self.audit,
            "problems": self.problems,
            "errors": self.errors,
        }
        path.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
        return path


async def nemesis(
    servers: PrivateServers, management: httpx.AsyncClient, *, seed: int, minutes: float
) -> Outcome:
    """Run users and faults for so long, let everything come to rest, and judge."""
    async with running_faulty_stack(servers, management, gateways=2, workers=2, ledgers=2, env=ENV) as stack:
        breaking, seen = Breaking(stack, seed), Seen()
        over = asyncio.Event()
        chatting = [asyncio.create_task(user.chat(over)) for user in _users(stack, seed, seen)]
        try:
            await breaking.run(for_s=minutes * 60)
        finally:
            over.set()
        await asyncio.gather(*chatting)
        started_s = time.monotonic()
        problems = await _come_to_rest(stack)
        drained_s = round(time.monotonic() - started_s, 1)
        if drained_s > DRAINED_WITHIN_S:
            problems.append(f"it took {drained_s} s to come to rest")
        orphaned_holds = await _release_orphans(stack)
        for part in stack.parts:
            breaking.note_errors(part)
        verdict = judge(
            await stack.db["runs"].find().to_list(None), await stack.usage_rows(), await stack.journal()
        )
        audit, is_clean = await _audit(stack)
        outcome = Outcome(
            seed=seed,
            minutes=minutes,
            faults=dict(sorted(breaking.done.items())),
            seen=seen,
            verdict=verdict,
            drained_s=drained_s,
            orphaned_holds=orphaned_holds,
            dead_letters=await stack.dead_letters(),
            audit=audit,
            errors=breaking.errors,
        )
        outcome.problems = [
            *problems,
            *verdict.wrong,
            *seen.wrong,
            *[await _given_up(stack, *item) for item in seen.gave_up.items()],
            *await _other_than_read(stack, seen),
            *await _answered_twice(stack, seen),
        ]
        if not verdict.is_exact:
            outcome.problems.append("the ledger and the provider do not agree")
        if not is_clean:
            outcome.problems.append("the audit is not clean")
        if outcome.dead_letters:
            outcome.problems.append(f"{outcome.dead_letters} messages were set aside")
        return outcome


def _users(stack: FaultyStack, seed: int, seen: Seen) -> list[User]:
    users: list[User] = []
    for number in range(USERS):
        clients = [stack.client(f"u{number}", gateway=gateway) for gateway in range(2)]
        users.append(User(clients, seen, random.Random(f"{seed}/u{number}")))
    return users


async def _come_to_rest(stack: FaultyStack) -> list[str]:
    """Wait until nothing moves any more; say what still does when it takes far too long."""
    waiting_in = [name for queue in topology.DURABLE for name in _queues_of(queue)]
    left: dict[str, int] = {}

    async def is_at_rest() -> bool:
        runs = await stack.db["runs"].count_documents({})
        left["active runs"] = await stack.db["runs"].count_documents({"state": "active"})
        left["runs not settled"] = runs - await stack.db["transactions"].count_documents({"kind": "usage"})
        left["events not published"] = await stack.db["ledger_outbox"].count_documents({})
        left["messages that wait"] = sum([await stack.depth(name) for name in waiting_in])
        return not any(left.values())

    try:
        await stack.until(is_at_rest, within_s=_WAITS_S)
    except TimeoutError:
        return [f"{count} {what} are left" for what, count in left.items() if count]
    return []


async def _release_orphans(stack: FaultyStack) -> int:
    """Release the holds that no run will ever close; return how many there were.

    Their time is up a quarter of an hour after they were placed: too long to wait for the sweeper here.
    """
    orphaned = 0
    async for account in stack.db["accounts"].find({"held": {"$ne": 0}}):
        orphaned += len(account["holds"])
        await stack.db["accounts"].update_one(
            {"_id": account["_id"]}, {"$set": {"holds.$[].expires_at": LONG_AGO}}
        )

    async def all_are_released() -> bool:
        return await stack.db["accounts"].count_documents({"held": {"$ne": 0}}) == 0

    await stack.until(all_are_released)
    return orphaned


async def _audit(stack: FaultyStack) -> tuple[str, bool]:
    """Run the audit; return what it says and whether that is nothing."""
    try:
        return (await stack.audit()).strip(), True
    except AssertionError as violations:
        return str(violations).strip()[-_AUDIT_SHOWN:], False


def _queues_of(queue: topology.Queue) -> list[str]:
    tiers = [queue.retry(delay_s) for delay_s in topology.RETRY_DELAYS_S] if queue.has_dead_letters else []
    return [queue.name, *tiers]


async def _given_up(stack: FaultyStack, message_id: str, what: str) -> str:
    """Say of a user who gave up what became of the message: that tells who forgot it."""
    fields = {"_id": 0, "run_id": 1, "created_at": 1, "asked_at": 1, "cancel_requested_at": 1}
    message = await stack.db["messages"].find_one({"client_message_id": message_id}, fields)
    run = message and await stack.db["runs"].find_one(
        {"_id": message["run_id"]}, {"_id": 0, "state": 1, "fence": 1, "started_at": 1, "finished_at": 1}
    )
    return f"gave up: {what}; stored are the message {message} and the run {run}"


async def _other_than_read(stack: FaultyStack, seen: Seen) -> list[str]:
    """Name the runs of which a user read another text or end than what is stored."""
    problems: list[str] = []
    async for run in stack.db["runs"].find({"_id": {"$in": list(seen.ends)}}, {"state": 1, "text": 1}):
        status, text = seen.ends[run["_id"]]
        if (status, text) != (run["state"], run["text"]):
            read, stored = f"{status} {text[-40:]!r}", f"{run['state']} {run['text'][-40:]!r}"
            problems.append(f"{run['_id']} was read as {read} and is stored as {stored}")
    return problems


async def _answered_twice(stack: FaultyStack, seen: Seen) -> list[str]:
    """Name the messages that, sent twice, were paid for twice."""
    problems: list[str] = []
    for run_ids in seen.twice:
        paid = await stack.usage_rows(run_id={"$in": run_ids}, tokens={"$ne": 0})
        if len(paid) > 1:
            problems.append(f"one message was answered by {run_ids}")
    return problems


def table(outcome: Outcome) -> str:
    """Write the result for a terminal."""
    verdict, seen = outcome.verdict, outcome.seen
    lines = [
        ("seed, minutes", f"{outcome.seed}, {outcome.minutes:g}"),
        ("faults", f"{sum(outcome.faults.values())}: {_counts(outcome.faults)}"),
        ("runs", f"{verdict.states.total()}: {_counts(verdict.states)}"),
        ("answers as users saw them", f"{_counts(seen.statuses)}; {seen.connections} connections"),
        ("refusals", _counts(seen.refusals) or "none"),
        ("came to rest after", f"{outcome.drained_s} s"),
        ("holds without a run, released", str(outcome.orphaned_holds)),
        ("dead letters", str(outcome.dead_letters)),
        ("audit", outcome.audit),
        (
            "the provider counted",
            f"{verdict.provider.tokens:,} tokens in {verdict.provider.count:,} responses",
        ),
        ("  that runs were booked by", f"{verdict.reported.tokens:,} in {verdict.reported.count:,}"),
        ("  stopped, and never told", f"{verdict.unreported.tokens:,} in {verdict.unreported.count:,}"),
        ("  stopped, and not asked in time", f"{verdict.missed.tokens:,} in {verdict.missed.count:,}"),
        ("  of abandoned attempts", f"{verdict.abandoned.tokens:,} in {verdict.abandoned.count:,}"),
        (
            "the ledger booked",
            f"{verdict.booked.tokens:,} tokens of {verdict.booked.count:,} runs, as reported",
        ),
        ("  and estimated", f"{verdict.estimated.tokens:,} of {verdict.estimated.count:,}"),
        ("errors in the logs", str(len(outcome.errors))),
        ("result", "passed" if outcome.has_passed else "FAILED"),
    ]
    details = (
        [] if outcome.has_passed else [*outcome.problems[:20], *(line[:300] for line in outcome.errors[:5])]
    )
    return "\n".join([f"{name:<32}{value}" for name, value in lines] + details)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m nemesis.run", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(servers_to_break())
        management = await stack.enter_async_context(
            httpx.AsyncClient(base_url=servers.management_url, trust_env=False, timeout=30)
        )
        outcome = await nemesis(servers, management, seed=options.seed, minutes=options.minutes)
    print(table(outcome))
    path = outcome.save()
    print(f"Kept in {path}", file=sys.stderr)
    return 0 if outcome.has_passed else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
