"""The route of flags."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends

from common.clock import rfc3339
from gateway.context import GatewayServices
from gateway.dashboard.cursors import read_cursor, write_cursor
from gateway.dashboard.flags import TEXT_CHARACTERS_MAX
from gateway.dashboard.parameters import RowCursor, refuse_operators
from gateway.dashboard.shapes import FlagPage, FlagShape
from gateway.dashboard.usage_figures import NOBODY, Person
from gateway.parameters import PAGE_ROWS, PageLimit
from gateway.policy import OperatorSession

router = APIRouter(tags=["dashboard"], dependencies=[Depends(refuse_operators)])

_ORDER = "flagged"


@router.get("/dashboard/flags")
async def list_flags(
    _session: OperatorSession,
    services: GatewayServices,
    limit: PageLimit = PAGE_ROWS,
    cursor: RowCursor = None,
) -> FlagPage:
    """What users flagged, newest first, with the exchange. Of deleted threads the texts are not shown."""
    dashboard = services.dashboard
    found = await dashboard.flags.page(limit=limit + 1, after=read_cursor(cursor, _ORDER, datetime))
    page = found[:limit]
    people = await dashboard.names.people(message["user_id"] for message in page)
    answers, deleted = await dashboard.flags.answers(page), await dashboard.flags.deleted(page)
    last = page[-1] if len(found) > limit else None
    return FlagPage(
        items=[
            _shape(message, people, None if message["thread_id"] in deleted else answers) for message in page
        ],
        next_cursor=write_cursor(_ORDER, last["flag"]["at"], last["_id"]) if last else None,
    )


def _shape(
    message: Mapping[str, Any], people: Mapping[str, Person], answers: Mapping[str, str] | None
) -> FlagShape:
    flag = message["flag"]
    return FlagShape(
        message_id=flag["message_id"],
        thread_id=message["thread_id"],
        run_id=message["run_id"],
        user_id=message["user_id"],
        user_name=people.get(message["user_id"], NOBODY).name,
        reasons=flag["reasons"],
        note=flag["note"],
        at=rfc3339(flag["at"]),
        question=None if answers is None else message["text"][:TEXT_CHARACTERS_MAX],
        answer=None if answers is None else answers.get(message["run_id"]),
    )
