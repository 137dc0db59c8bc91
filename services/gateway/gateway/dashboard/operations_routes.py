"""The routes of queues and dead letters."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from pydantic import Field, model_validator

from common.amqp.dead_letters import Letter
from common.clock import rfc3339
from common.mongo.client import Document
from gateway.context import GatewayServices
from gateway.dashboard.operations import QueueView
from gateway.dashboard.parameters import Reason, refuse_operators
from gateway.dashboard.shapes import Shape
from gateway.parameters import PRINTABLE, Body
from gateway.policy import OperatorSession

router = APIRouter(tags=["dashboard"], dependencies=[Depends(refuse_operators)])

_IDS_MAX = 1_000

QueueName = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTABLE)]
LetterIds = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=300, pattern=PRINTABLE)]],
    Field(min_length=1, max_length=_IDS_MAX),
]


class QueueShape(Shape):
    """Figures of now, rates per second; null where RabbitMQ's management API does not tell.

    It remembers an hour: with `oldest_age_is_at_least`, the oldest message is older than `oldest_age_s`.

    `retries` are messages that wait for another attempt, by the seconds that they wait.
    """

    name: str
    ready: int | None
    unacked: int | None
    consumers: int | None
    oldest_age_s: float | None
    oldest_age_is_at_least: bool
    published_per_s: float | None
    acked_per_s: float | None
    redelivered_per_s: float | None
    retries: dict[str, int] | None
    dead: int


class LetterShape(Shape):
    """`body` is what the message says: ids and figures, no texts. Null when it is no JSON."""

    id: str
    queue: str
    type: str
    reason: str
    attempts: int
    at: str | None
    body: Any


class ActionShape(Shape):
    id: str
    at: str
    actor: str
    action: str
    dry_run: bool
    reason: str | None
    target: dict[str, Any]
    outcome: str
    count: int


class OperationsAnswer(Shape):
    """`wrong` says in plain words what could not be asked."""

    queues: list[QueueShape]
    dead_letters: list[LetterShape]
    actions: list[ActionShape]
    wrong: list[str]
    checked_at: str


class ReplayBody(Body):
    """Letters of one queue: those with the ids, or `all`. With `dry_run`, nothing is sent."""

    queue: QueueName
    ids: LetterIds | None = None
    all: bool = False
    dry_run: bool = False

    @model_validator(mode="after")
    def _names_letters(self) -> "ReplayBody":
        if self.all == (self.ids is not None):
            raise ValueError("either ids or all is needed")
        return self


class DropBody(Body):
    queue: QueueName
    ids: LetterIds
    reason: Reason


class LettersAnswer(Shape):
    """What was done, or would be. `remaining` letters are left; `all` takes up to 1,000 at a time."""

    dry_run: bool
    count: int
    items: list[LetterShape]
    remaining: int


@router.get("/dashboard/operations")
async def operations(_session: OperatorSession, services: GatewayServices) -> OperationsAnswer:
    """How full the queues are and how fast they move, what was set aside and why, and what operators did."""
    view = await services.dashboard.operations.view()
    return OperationsAnswer(
        queues=[_queue_shape(queue) for queue in view.queues],
        dead_letters=[_letter_shape(letter) for letter in view.dead_letters],
        actions=[_action_shape(row) for row in view.actions],
        wrong=view.wrong,
        checked_at=rfc3339(view.checked_at),
    )


@router.post("/dashboard/operations/replay")
async def replay(session: OperatorSession, services: GatewayServices, body: ReplayBody) -> LettersAnswer:
    """Send dead letters to their queue again, under their own ids. Whoever handled one knows it."""
    chosen = None if body.ids is None else frozenset(body.ids)
    letters, remaining = await services.dashboard.operations.replay(
        body.queue, chosen, actor=session.user_id, dry_run=body.dry_run
    )
    return _letters_answer(letters, remaining, dry_run=body.dry_run)


@router.post("/dashboard/operations/drop")
async def drop(session: OperatorSession, services: GatewayServices, body: DropBody) -> LettersAnswer:
    """Throw dead letters away, for a reason."""
    letters, remaining = await services.dashboard.operations.drop(
        body.queue, frozenset(body.ids), actor=session.user_id, reason=body.reason
    )
    return _letters_answer(letters, remaining, dry_run=False)


def _letters_answer(letters: list[Letter], remaining: int, *, dry_run: bool) -> LettersAnswer:
    return LettersAnswer(
        dry_run=dry_run,
        count=len(letters),
        items=[_letter_shape(letter) for letter in letters],
        remaining=remaining,
    )


def _queue_shape(queue: QueueView) -> QueueShape:
    state = queue.state
    return QueueShape(
        name=queue.name,
        ready=state and state.ready,
        unacked=state and state.unacked,
        consumers=state and state.consumers,
        oldest_age_s=queue.oldest_age and queue.oldest_age.seconds,
        oldest_age_is_at_least=queue.oldest_age is not None and queue.oldest_age.is_at_least,
        published_per_s=state and state.published_per_s,
        acked_per_s=state and state.acked_per_s,
        redelivered_per_s=state and state.redelivered_per_s,
        retries=None if queue.retries is None else {f"{s}s": count for s, count in queue.retries.items()},
        dead=queue.dead,
    )


def _letter_shape(letter: Letter) -> LetterShape:
    try:
        body = orjson.loads(letter.body)
    except ValueError:
        body = None
    return LetterShape(
        id=letter.id,
        queue=letter.queue,
        type=letter.type,
        reason=letter.reason,
        attempts=letter.attempts,
        at=rfc3339(letter.at) if letter.at else None,
        body=body,
    )


def _action_shape(row: Document) -> ActionShape:
    return ActionShape(
        id=row["_id"],
        at=rfc3339(row["at"]),
        actor=row["actor"],
        action=row["action"],
        dry_run=row["dry_run"],
        reason=row["reason"],
        target=row["target"],
        outcome=row["outcome"],
        count=len(row["ids"]),
    )
