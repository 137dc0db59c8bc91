"""The routes of flags."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from common.errors import NotFound, Unauthenticated
from gateway.context import GatewayServices
from gateway.flags.flag_message import Flags
from gateway.parameters import MESSAGE_ID_PATTERN, PRINTABLE, THREAD_ID_PATTERN, Body, MessageIdInPath
from gateway.policy import ChangingUserSession, UserSession

router = APIRouter(tags=["flags"])

Reason = Annotated[str, Field(min_length=1, max_length=60, pattern=PRINTABLE)]


class FlagBody(Body):
    reasons: list[Reason] = Field(default=[], max_length=10)
    note: str | None = Field(default=None, max_length=2_000)


class Flagged(BaseModel):
    flagged: bool


@router.get("/chat/flag")
async def flag_by_address(
    session: ChangingUserSession,
    services: GatewayServices,
    t: Annotated[str, Query(pattern=THREAD_ID_PATTERN, description="thread")],
    m: Annotated[str, Query(pattern=MESSAGE_ID_PATTERN, description="message")],
) -> Flagged:
    """Flag a message, for existing clients. A flag that is there keeps its reasons."""
    flags = Flags(services.threads, services.clock)
    message = await flags.find(session.user_id, m)
    if message is None or message.thread_id != t:
        raise Unauthenticated
    if message.flag is None or message.flag.message_id != m:
        await flags.flag(session.user_id, m, reasons=[], note=None)
    return Flagged(flagged=True)


@router.post("/chat/messages/{message_id}/flag")
async def flag_message(
    session: UserSession, services: GatewayServices, message_id: MessageIdInPath, body: FlagBody
) -> Flagged:
    """Flag a message of one's own or an answer, with reasons and a note."""
    flags = Flags(services.threads, services.clock)
    if await flags.flag(session.user_id, message_id, reasons=body.reasons, note=body.note) is None:
        raise NotFound
    return Flagged(flagged=True)


@router.delete("/chat/messages/{message_id}/flag")
async def unflag_message(
    session: UserSession, services: GatewayServices, message_id: MessageIdInPath
) -> Flagged:
    """Take the flag back."""
    flags = Flags(services.threads, services.clock)
    if await flags.unflag(session.user_id, message_id) is None:
        raise NotFound
    return Flagged(flagged=False)
