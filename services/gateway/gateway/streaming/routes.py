"""Routes of a run: its events from any place on, and the stop button."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel

from common.errors import Malformed, NotFound
from gateway.context import GatewayServices
from gateway.parameters import RunIdInPath
from gateway.policy import UserSession
from gateway.streaming.responses import resume_run
from gateway.streaming.sse import EventStream, parse_event_id
from gateway.streaming.stored_runs import ACTIVE

router = APIRouter(tags=["runs"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)]
AfterSequence = Annotated[int, Query(ge=0, lt=10**12)]


class CancelledRun(BaseModel):
    """`status` is `active` while the run is still ending."""

    run_id: str
    status: str


@router.get(
    "/chat/runs/{run_id}/events",
    status_code=200,
    response_class=EventStream,
    responses={204: {"description": "The run has ended and there is nothing more"}},
)
async def run_events(
    session: UserSession,
    services: GatewayServices,
    run_id: RunIdInPath,
    last_event_id: LastEventId = None,
    after: AfterSequence = 0,
) -> Response:
    """The events of a run behind `Last-Event-ID`, or behind the sequence `after`; then live until `done`.

    204: the run has ended and there is nothing more. A `delta` says with `at` where its text begins, so
    that one which comes again, as after a reload in the middle, replaces what is there.
    """
    if last_event_id:
        named, after = parse_event_id(last_event_id)
        if named != run_id:
            raise Malformed("Last-Event-ID is of another run")
    message = await services.threads.message_of_run(session.user_id, run_id)
    if message is None:
        raise NotFound("There is no such run")
    return await resume_run(services, session, message, after_sequence=after)


@router.post("/chat/runs/{run_id}/cancel", responses={202: {"model": CancelledRun}})
async def cancel_run(
    session: UserSession, services: GatewayServices, run_id: RunIdInPath, response: Response
) -> CancelledRun:
    """Stop a run; what it has written stays and is paid for. 202: it is told, but has not ended yet."""
    status = await services.cancel(session.user_id, run_id)
    if status == ACTIVE:
        response.status_code = 202
    return CancelledRun(run_id=run_id, status=status)
