"""Sending a message. Both routes answer with the stream of the run that it starts."""

from typing import Annotated, Self

from fastapi import APIRouter, Header, Query, Response
from pydantic import Field, model_validator

from common.errors import NotFound
from gateway.context import GatewayServices
from gateway.parameters import PRINTABLE, SENT_ID_PATTERN, THREAD_ID_PATTERN, Body
from gateway.policy import ChangingUserSession, UserSession
from gateway.streaming.follower import Follower
from gateway.streaming.responses import resume_run, stream_run
from gateway.streaming.sse import EventStream, parse_event_id
from gateway.threads.records import Place

router = APIRouter(tags=["messages"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)]


class NewMessage(Body):
    """`client_message_id` is the client's own: the same one again joins the run that it started.

    A message is asked at the end of its thread, unless it `replaces` an earlier one, as a new version of it
    and without all that came after, or `follows` one that is not the last. What it replaces is kept.
    """

    thread_id: str = Field(pattern=THREAD_ID_PATTERN)
    text: str = Field(min_length=1)
    client_message_id: str | None = Field(default=None, min_length=1, max_length=100, pattern=PRINTABLE)
    replaces: str | None = Field(default=None, pattern=SENT_ID_PATTERN)
    follows: str | None = Field(default=None, pattern=SENT_ID_PATTERN)

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if self.replaces is not None and self.follows is not None:
            raise ValueError("a message replaces one, or follows one")
        return self


@router.post("/chat/messages", status_code=200, response_class=EventStream)
async def send_message(session: UserSession, services: GatewayServices, body: NewMessage) -> Response:
    """Send a message and stream the answer."""

    async def follow() -> Follower:
        return await services.ask(
            session,
            thread_id=body.thread_id,
            text=body.text,
            client_message_id=body.client_message_id,
            place=Place(replaces=body.replaces, follows=body.follows),
        )

    return await stream_run(services, session.user_id, follow)


@router.get("/chat/message", status_code=200, response_class=EventStream)
async def send_message_by_get(
    session: ChangingUserSession,
    services: GatewayServices,
    t: Annotated[str, Query(pattern=THREAD_ID_PATTERN, description="thread")],
    m: Annotated[str, Query(min_length=1, description="message")],
    last_event_id: LastEventId = None,
) -> Response:
    """Send a message and stream the answer, for existing clients.

    A browser repeats a GET by itself when the connection breaks. It then says which event it saw last, and
    that run is resumed: the message is not sent again.
    """
    if last_event_id:
        run_id, after = parse_event_id(last_event_id)
        message = await services.threads.message_of_run(session.user_id, run_id)
        if message is None or message.thread_id != t:
            raise NotFound("There is no such run")
        return await resume_run(services, session, message, after_sequence=after)

    async def follow() -> Follower:
        return await services.ask(session, thread_id=t, text=m)

    return await stream_run(services, session.user_id, follow)
