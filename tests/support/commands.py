"""The commands that a database is sent, and how it says that it would answer them."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo import monitoring

from common.mongo.client import Database, Document

_READS = frozenset({"find", "aggregate", "count", "distinct"})
_PARTS = frozenset(
    {"filter", "query", "sort", "limit", "skip", "projection", "pipeline", "cursor", "hint", "key"}
)


class _Recorder(monitoring.CommandListener):
    """Keeps the reads of one database while somebody asks for them. Registered once, for all clients."""

    def __init__(self) -> None:
        self.database: str | None = None
        self.commands: list[Document] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.database_name == self.database and event.command_name in _READS:
            parts = {event.command_name, *_PARTS} & event.command.keys()
            self.commands.append({name: event.command[name] for name in event.command if name in parts})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Not of interest."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not of interest."""


_recorder = _Recorder()
monitoring.register(_recorder)


@contextmanager
def recorded_reads(db: Database) -> Generator[list[Document]]:
    """Collect what this process reads of a database meanwhile, ready to be explained."""
    _recorder.database, _recorder.commands = db.name, []
    try:
        yield _recorder.commands
    finally:
        _recorder.database = None


async def explain(db: Database, command: Mapping[str, Any], *, counted: bool = True) -> Document:
    """Return the plan; if it is `counted`, with how much it read when it was carried out for that."""
    verbosity = "executionStats" if counted else "queryPlanner"
    return await db.command({"explain": dict(command), "verbosity": verbosity})


def stages(plan: Any) -> Iterator[Document]:
    """Yield every stage of the winning plans in an answer of `explain`."""
    if isinstance(plan, list):
        for part in plan:
            yield from stages(part)
    elif isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan
        for name, part in plan.items():
            if name not in {"rejectedPlans", "executionStages", "command"}:
                yield from stages(part)


def examined(plan: Any) -> int:
    """Return how many documents were looked at for the answer, in all of its parts."""
    if isinstance(plan, list):
        return sum(examined(part) for part in plan)
    if isinstance(plan, dict):
        own = plan.get("totalDocsExamined", 0)
        return own + sum(examined(part) for name, part in plan.items() if name != "command")
    return 0
