"""What operators did to queues: one line each, written before it is done and closed after it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pymongo.errors import PyMongoError

from common.amqp.dead_letters import Letter
from common.clock import Clock
from common.errors import AppError
from common.ids import new_id
from common.log import get_logger
from common.mongo.client import Database, Document
from common.mongo.indexes import IndexSpec

log = get_logger()

ACTIONS = "operator_actions"
INDEXES = (
    IndexSpec(
        collection=ACTIONS,
        keys=(("at", -1), ("_id", -1)),
        why="the dashboard shows what operators did, newest first",
    ),
)

ActionName = Literal["dead_letters.replay", "dead_letters.drop"]


@dataclass(slots=True)
class Action:
    """An action under way; whoever carries it out says which letters it was, also when it fails half way."""

    letters: list[Letter]

    @property
    def ids(self) -> list[str]:
        return [letter.id for letter in self.letters]


class OperatorActions:
    """The audit of operators. A line that stays `started` is one whose process died meanwhile."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._actions = db[ACTIONS]
        self._clock = clock

    @asynccontextmanager
    async def record(
        self, name: ActionName, *, actor: str, dry_run: bool, reason: str | None = None, **target: Any
    ) -> AsyncGenerator[Action]:
        """Carry an action out: not without its line. `target` is what it was asked to act on."""
        row: Document = {
            "_id": new_id("q"),
            "at": self._clock.now(),
            "actor": actor,
            "action": name,
            "dry_run": dry_run,
            "reason": reason,
            "target": target,
            "outcome": "started",
            "ids": [],
        }
        await self._actions.insert_one(row)
        action, outcome = Action([]), "failed"
        try:
            yield action
            outcome = "done"
        except AppError as error:
            outcome = f"failed: {error.code}"
            raise
        finally:
            log.info("operator_action", action=name, actor=actor, outcome=outcome, count=len(action.ids))
            await self._close(row["_id"], outcome, action.ids)

    async def latest(self, limit: int) -> list[Document]:
        return await self._actions.find({}, sort=[("at", -1), ("_id", -1)], limit=limit).to_list(limit)

    async def _close(self, row_id: str, outcome: str, ids: list[str]) -> None:
        try:
            await self._actions.update_one({"_id": row_id}, {"$set": {"outcome": outcome, "ids": ids}})
        except PyMongoError as error:
            # It is done; its line says that it was begun.
            log.warning("operator_action_not_closed", id=row_id, error=type(error).__name__)
