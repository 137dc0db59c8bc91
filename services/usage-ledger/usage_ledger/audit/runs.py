"""Brings rows of usage and their runs together, and checks each pair.

Both come in the order of time, a run a moment before its row. What has met is forgotten at once, so only
runs that still wait for their row are in memory; what never meets is looked up by its id in the end.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from common.mongo.client import Document
from common.usage_rollup import TOKEN_FIGURES
from usage_ledger.audit.violation import Code, Violation

RUN_SHOWN: Document = dict.fromkeys(("user_id", "state", "fence", "usage", "finished_at"), 1)
ACTIVE = "active"


class Pairs:
    """Runs that wait for their row, and the ids of those to be looked at again with all their rows."""

    def __init__(self) -> None:
        self._runs: dict[str, Document] = {}
        self._exceptions: set[str] = set()

    def add_row(self, row: Document) -> Iterable[Violation]:
        run_id = row["run_id"]
        if not isinstance(run_id, str):
            raise TypeError("run_id")
        run = self._runs.pop(run_id, None)
        if run is None or row["kind"] == "correction" or row["provisional"]:
            self._exceptions.add(run_id)
            return ()
        return () if _is_plain(run, row) else check_pair(run, row)

    def add_run(self, run: Document) -> None:
        """Remember a run that ended, before the rows of the same time come."""
        self._runs[run["_id"]] = run

    def left(self) -> list[str]:
        """Name the runs that are to be looked up, with their rows."""
        return sorted(self._exceptions | self._runs.keys())


def _is_plain(run: Document, row: Document) -> bool:
    """Tell whether a pair is what nearly all pairs are: right in every way."""
    own, booked = run["usage"], row["usage"]
    return (
        own is not None
        and run["state"] != ACTIVE
        and run["user_id"] == row["user_id"]
        and run["fence"] == row.get("attempt")
        and own["input_tokens"] == booked["input_tokens"]
        and own["output_tokens"] == booked["output_tokens"]
        and own["cached_tokens"] == booked["cached_tokens"]
        and own["reasoning_tokens"] == booked["reasoning_tokens"]
    )


def check_pair(run: Document, row: Document, correction: Document | None = None) -> Iterator[Violation]:
    """Check a run against its settlement, and what was booked on top of that."""
    if run["user_id"] != row["user_id"]:
        yield _violation("I7", "the usage is booked for another user than the run's", run["_id"])
    attempt = row.get("attempt")
    if attempt is not None and (
        attempt > run["fence"] or (attempt < run["fence"] and not row["provisional"])
    ):
        what = f"attempt {attempt} was settled, the run's fence is {run['fence']}"
        yield _violation("I11", what, run["_id"])
    if run["state"] == ACTIVE:
        if not row["provisional"]:
            yield _violation("I5", "the run is settled and still going on", run["_id"])
        return
    more: Mapping[str, int] = correction["usage"] if correction else {}
    own: Mapping[str, int] = run["usage"] or {}
    booked: Mapping[str, int] = row["usage"]
    if any(own.get(name, 0) != booked[name] + more.get(name, 0) for name in TOKEN_FIGURES):
        yield _violation("I6", "the run is settled with other figures than its own", run["_id"])


def check_run(
    run_id: str,
    run: Document | None,
    row: Document | None,
    correction: Document | None,
    *,
    settled_until: datetime,
) -> Iterator[Violation]:
    """Check a run with all that is stored of it. One that ended after `settled_until` may lack its row."""
    if correction is not None and (row is None or not row["provisional"]):
        code: Code = "I7" if row is None else "I9"
        yield _violation(code, "a correction of what was no estimate", run_id)
    if run is None:
        yield _violation("I7", "usage of a run that does not exist", run_id)
        return
    is_due = run["finished_at"] is not None and run["finished_at"] < settled_until
    if row is None:
        if is_due:
            yield _violation("I5", "the run is finished and not settled", run_id)
            yield from check_lost(run)
    elif is_due or not row["provisional"]:
        yield from check_pair(run, row, correction)


def check_lost(run: Document) -> Iterator[Violation]:
    """Name what a run used that no row has."""
    own: Mapping[str, int] = run["usage"] or {}
    used = sum(own.get(name, 0) for name in ("input_tokens", "output_tokens"))
    if used:
        yield _violation("I6", f"{used} tokens that the run used are not booked", run["_id"])


def check_active(
    runs: list[Document], settled: set[str], *, abandoned_before: datetime
) -> Iterator[Violation]:
    """Check runs that are going on; `settled` are those that have a row.

    One that began before `abandoned_before`, and that nobody drives, had to be estimated by then.
    """
    threads: dict[str, str] = {}
    for run in runs:
        other = threads.setdefault(run["thread_id"], run["_id"])
        if other != run["_id"]:
            ids = {"run": run["_id"], "other": other}
            yield Violation(code="I11", what="two runs of a thread are going on", ids=ids)
        if run["fence"] < 1:
            yield _violation("I11", "a claim without a fence", run["_id"])
        reached = run["response_id"] or run["text"]
        is_abandoned = max(run["started_at"], run["lease_until"] or run["started_at"]) < abandoned_before
        if reached and is_abandoned and run["_id"] not in settled:
            yield _violation("I6", "the provider answered, nobody goes on, and nothing is booked", run["_id"])


def _violation(code: Code, what: str, run_id: str) -> Violation:
    return Violation(code=code, what=what, ids={"run": run_id})
