"""What could not be applied, for an operator to see and to resolve."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from common.clock import rfc3339
from common.errors import Conflict, NotFound
from common.ids import new_id
from common.integration_inbox import WAITING, InboxRow
from common.quota_text import QUOTA_MAX
from gateway.context import GatewayServices
from gateway.dashboard.parameters import refuse_operators
from gateway.parameters import PAGE_ROWS, PRINTABLE, Body, PageLimit
from gateway.policy import OperatorSession

router = APIRouter(tags=["dashboard"], dependencies=[Depends(refuse_operators)])

_DECIDED_WITHIN_S = 2.0
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


class WaitingItem(BaseModel):
    """`value` is what was said, as it was written; `at` is when that was, `since` when it began to wait.

    What comes for the same person or user takes the place of an older one: the same `id`, another `version`.
    """

    id: str
    version: str
    why: str
    person_id: int | None
    user_id: str | None
    emails: list[str]
    name: str | None
    value: str
    actor: str
    reason: str
    at: str
    since: str


class WaitingList(BaseModel):
    items: list[WaitingItem]
    total: int


class Resolution(Body):
    """Apply it, to `user_id` and with `quota` where they replace what it says, or dismiss it.

    `version` is the one that was looked at: the decision is nothing to another one.
    """

    id: str = Field(max_length=300)
    version: str = Field(max_length=300)
    action: Literal["apply", "dismiss"]
    user_id: str | None = Field(default=None, min_length=1, max_length=200, pattern=PRINTABLE)
    quota: int | None = Field(default=None, ge=0, le=QUOTA_MAX)


class ResolutionAnswer(BaseModel):
    """`accepted`: stored, and not carried out yet. Else what became of it, and `why`."""

    status: str
    why: str | None = None
    user_id: str | None = None
    quota: int | None = None


@router.get("/dashboard/integration/waiting")
async def list_waiting(
    _session: OperatorSession,
    services: GatewayServices,
    limit: PageLimit = PAGE_ROWS,
    start: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> WaitingList:
    """List what waits, what came last first."""
    waiting = services.db[WAITING]
    # Naming the least value makes an index be read in order.
    found = waiting.find({"updated_at": {"$gt": _EVER}}).sort([("updated_at", -1), ("_id", -1)])
    return WaitingList(
        items=[_item(document) async for document in found.skip(start).limit(limit)],
        total=await waiting.estimated_document_count(),
    )


@router.post("/dashboard/integration/waiting", response_model_exclude_none=True)
async def resolve(
    session: OperatorSession, services: GatewayServices, body: Resolution, response: Response
) -> ResolutionAnswer:
    """Decide about a waiting notification. It goes the way of all notifications, in the operator's name.

    409 when another one has taken its place: then nothing is decided. `stale` when that happens later.
    """
    waits = await services.db[WAITING].find_one({"_id": body.id}, {"version_event": 1})
    if waits is None:
        raise NotFound
    if waits["version_event"] != body.version:
        raise Conflict("Something newer came meanwhile: please look again")
    decided = {
        "key": body.id,
        "version": body.version,
        "action": body.action,
        "user_id": body.user_id,
        "quota": body.quota,
    }
    row = InboxRow(
        id=f"o:{new_id('q')}",
        channel="resolution",
        received_at=services.clock.now(),
        body=orjson.dumps(decided).decode(),
        actor=session.user_id,
    )
    await services.inbox.add(row)
    decision = await services.inbox.decision(row.id, within_s=_DECIDED_WITHIN_S)
    if decision is None:
        response.status_code = 202
        return ResolutionAnswer(status="accepted")
    return ResolutionAnswer.model_validate(decision, from_attributes=False)


def _item(document: dict[str, Any]) -> WaitingItem:
    return WaitingItem(
        id=document["_id"],
        version=document["version_event"],
        why=document["why"],
        person_id=document["person_id"],
        user_id=document["user_ref"],
        emails=document["emails"],
        name=document["name"],
        value=document["value"],
        actor=document["actor"],
        reason=document["reason"],
        at=rfc3339(document["at"]),
        since=rfc3339(document["since"]),
    )
