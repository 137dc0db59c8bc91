"""Compares what the ledger booked with what the provider itself counted, run by run."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ACTIVE = "active"
STOPPED = "cancelled"
_EXACT = frozenset({"provider", "retrieved"})
_ABANDONED_MAX = 1
"""A run that lost its first attempt before any text is begun once more, and never a third time."""

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

    Every response of the provider is exactly one of four:
    - `reported`, the one that its run was booked by;
    - `unreported`, stopped by its user, of which the provider never tells what it used;
    - `missed`, stopped by its user, which the provider would have told, had it been asked in time;
    - `abandoned`, an attempt that gave no text and whose id never reached us, which is the house's.
    """

    states: Counter[str] = field(default_factory=Counter[str])
    booked: Sum = field(default_factory=Sum)
    estimated: Sum = field(default_factory=Sum)
    reported: Sum = field(default_factory=Sum)
    unreported: Sum = field(default_factory=Sum)
    missed: Sum = field(default_factory=Sum)
    abandoned: Sum = field(default_factory=Sum)
    provider: Sum = field(default_factory=Sum)
    wrong: list[str] = field(default_factory=list[str])

    @property
    def is_exact(self) -> bool:
        """Tell whether ledger and provider agree, and no response is left unexplained."""
        parts = (self.reported, self.unreported, self.missed, self.abandoned)
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
        verdict.provider.add(_cost(response))
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
    if run["usage_source"] in _EXACT:
        own = _judge_exact(verdict, run, tokens, responses)
    else:
        own = _judge_estimate(verdict, run, tokens, responses)
    if not _is_text_of(run, own):
        verdict.wrong.append(f"{run['_id']} has text that its response {own and own['id']} did not give")
    abandoned = [response for response in responses if response is not own]
    for response in abandoned:
        verdict.abandoned.add(_cost(response))
    if len(abandoned) > _ABANDONED_MAX + (own is None):
        verdict.wrong.append(f"{run['_id']} was asked for {len(responses)} times")


def _judge_exact(verdict: Verdict, run: Row, tokens: int, responses: list[Row]) -> Row | None:
    verdict.booked.add(tokens)
    own = _response_of(run, tokens, responses)
    if own is None:
        costs = [_cost(response) for response in responses]
        verdict.wrong.append(f"{run['_id']} is booked with {tokens} tokens, its responses cost {costs}")
        return None
    verdict.reported.add(_cost(own))
    return own


def _judge_estimate(verdict: Verdict, run: Row, tokens: int, responses: list[Row]) -> Row | None:
    """Judge a run without a figure, which is right only where no figure was to be had."""
    if tokens:
        verdict.estimated.add(tokens)
    if tokens > run["hold_tokens"]:
        verdict.wrong.append(f"{run['_id']} is estimated at {tokens}, its hold is {run['hold_tokens']}")
    if tokens and run["usage_source"] == "none":
        verdict.wrong.append(f"{run['_id']} is booked with {tokens} tokens that come from nowhere")
    own = next((response for response in responses if response["id"] == run["response_id"]), None)
    if own is None:
        if tokens and run["state"] != STOPPED:
            verdict.wrong.append(
                f"{run['_id']} is estimated at {tokens}, and no answer of it ever reached us"
            )
        return None
    is_told = bool(own["background"] and own["usage_reported"])
    (verdict.missed if is_told else verdict.unreported).add(_cost(own))
    if run["state"] != STOPPED:
        what = f"is {run['state']}, not stopped, and estimated at {tokens}; the provider counts {_cost(own)}"
        verdict.wrong.append(f"{run['_id']} {what}")
    return own


def _response_of(run: Row, tokens: int, responses: list[Row]) -> Row | None:
    """Find the response that a run was booked by; None when no figure fits."""
    ended = [response for response in responses if response["usage_reported"]]
    if run["response_id"] is not None:
        ended = [response for response in ended if response["id"] == run["response_id"]]
    return next((response for response in ended if _cost(response) == tokens), None)


def _is_text_of(run: Row, own: Row | None) -> bool:
    """Tell whether the text is from this response alone; each signs its own."""
    if own is None:
        return not run["text"]
    return run["text"] == own["text"] if run["state"] == "completed" else own["text"].startswith(run["text"])


def _cost(response: Row) -> int:
    tokens: int = response["usage"]["total_tokens"]
    return tokens
