"""Compares what the ledger booked with what the provider itself counted, run by run."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ACTIVE = "active"
_EXACT = frozenset({"provider", "retrieved"})

Row = dict[str, Any]


@dataclass(slots=True)
class Sum:
    """Runs or responses, and their tokens."""

    count: int = 0
    tokens: int = 0

    def add(self, tokens: int) -> None:
        self.count += 1
        self.tokens += tokens


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What was booked and what it cost. Tokens of the provider are its own count, never ours.

    Every response of the provider is exactly one of three: `reported`, the one that its run was booked
    by; `unreported`, of a run for which no figure ever came, booked as an estimate or as nothing; or
    `abandoned`, an attempt of a run that another attempt answered in the end, which is the house's.
    """

    states: Counter[str] = field(default_factory=Counter[str])
    booked: Sum = field(default_factory=Sum)
    estimated: Sum = field(default_factory=Sum)
    reported: Sum = field(default_factory=Sum)
    unreported: Sum = field(default_factory=Sum)
    abandoned: Sum = field(default_factory=Sum)
    provider: Sum = field(default_factory=Sum)
    wrong: list[str] = field(default_factory=list[str])

    @property
    def is_exact(self) -> bool:
        """Tell whether ledger and provider agree, and no response is left unexplained."""
        parts = (self.reported, self.unreported, self.abandoned)
        return self.booked == self.reported and self.provider == Sum(
            sum(part.count for part in parts), sum(part.tokens for part in parts)
        )


def judge(runs: Sequence[Row], rows: Sequence[Row], journal: Sequence[Row]) -> Verdict:
    """Compare documents of `runs`, usage rows of the ledger and the provider's journal."""
    verdict = Verdict()
    booked: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        booked[row["run_id"]].append(row)
    responses: defaultdict[str, list[Row]] = defaultdict(list)
    for response in journal:
        responses[response["run_id"]].append(response)
        verdict.provider.add(response["usage"]["total_tokens"])
    for run in runs:
        verdict.states[run["state"]] += 1
        settlements = booked.pop(run["_id"], [])
        if run["state"] == ACTIVE or len(settlements) != 1:
            verdict.wrong.append(f"{run['_id']} is {run['state']} with {len(settlements)} settlements")
            continue
        _judge_run(verdict, run, -settlements[0]["tokens"], responses.pop(run["_id"], []))
    verdict.wrong += [f"usage of {run_id}, which does not exist, is booked" for run_id in booked]
    verdict.wrong += [f"the provider answered {run_id}, which does not exist" for run_id in responses]
    return verdict


def _judge_run(verdict: Verdict, run: Row, tokens: int, responses: list[Row]) -> None:
    if run["usage_source"] not in _EXACT:
        if tokens:
            verdict.estimated.add(tokens)
        for response in responses:
            verdict.unreported.add(response["usage"]["total_tokens"])
        return
    verdict.booked.add(tokens)
    own = _response_of(run, tokens, responses)
    if own is None:
        costs = [response["usage"]["total_tokens"] for response in responses]
        verdict.wrong.append(f"{run['_id']} is booked with {tokens} tokens, its responses cost {costs}")
        return
    verdict.reported.add(own["usage"]["total_tokens"])
    for response in responses:
        if response is not own:
            verdict.abandoned.add(response["usage"]["total_tokens"])


def _response_of(run: Row, tokens: int, responses: list[Row]) -> Row | None:
    """Find the response that a run was booked by; None when no figure fits."""
    ended = [response for response in responses if response["usage_reported"]]
    if run["response_id"] is not None:
        ended = [response for response in ended if response["id"] == run["response_id"]]
    return next((response for response in ended if response["usage"]["total_tokens"] == tokens), None)
