"""The routes of a user's threads."""

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from common.clock import rfc3339
from common.errors import NotFound
from common.ids import new_id
from gateway.context import GatewayServices, Services
from gateway.cursors import Place, read_cursor, write_cursor
from gateway.ledger import open_account
from gateway.parameters import PAGE_ROWS, PAGE_ROWS_MAX, PRINTABLE, PageCursor, PageLimit, ThreadIdInPath
from gateway.policy import UserSession
from gateway.threads.answers import AnswerReader
from gateway.threads.delete_thread import delete_thread
from gateway.threads.records import Thread
from gateway.threads.search import ThreadSearch
from gateway.threads.shapes import (
    AccountShape,
    LatestThread,
    MessagePage,
    NewThread,
    OneThread,
    RenameThread,
    SessionShape,
    ThreadPage,
    account_shape,
    conversation,
    thread_shape,
    user_shape,
)

router = APIRouter(tags=["threads"])

LATEST_MESSAGES_MAX = PAGE_ROWS_MAX // 2
"""What `GET /chat/thread` shows of what the user sent: with the answers it is a page."""

SearchWords = Annotated[str | None, Query(max_length=200, pattern=PRINTABLE)]


@router.get("/chat/thread")
async def latest_thread(session: UserSession, services: GatewayServices) -> LatestThread:
    """The thread used last with its newest messages, the user's tokens and the session.

    Makes the user and the thread when missing; a depleted balance is granted anew. Older messages are in
    the pages of `GET /chat/threads/{thread_id}`, from `next_cursor` on.
    """
    account = await open_account(services.ledger, session)
    thread = await services.threads.ensure_latest_thread(session.user_id, now=services.clock.now())
    page = await _page(services, thread, before=None, limit=LATEST_MESSAGES_MAX)
    return LatestThread(
        thread=page.thread,
        next_cursor=page.next_cursor,
        user=user_shape(session, account, more_tokens_url=services.settings.int_url),
        session=SessionShape(
            sub=session.user_id, expires_at=rfc3339(datetime.fromtimestamp(session.expires_at, UTC))
        ),
    )


@router.get("/chat/account")
async def account(session: UserSession, services: GatewayServices) -> AccountShape:
    """The user's tokens alone: what an open page asks for from time to time. Grants anew what is depleted."""
    return account_shape(await open_account(services.ledger, session))


@router.get("/chat/threads")
async def list_threads(
    session: UserSession,
    services: GatewayServices,
    limit: PageLimit = PAGE_ROWS,
    cursor: PageCursor = None,
    q: SearchWords = None,
) -> ThreadPage:
    """The user's threads, the one used last first; with `q`, those whose title or messages contain it."""
    with services.limits.search(session.user_id) if q else nullcontext():
        threads = await ThreadSearch(services.db).list_threads(
            session.user_id, words=q, before=read_cursor(cursor), limit=limit + 1
        )
    next_cursor = None
    if len(threads) > limit:
        threads = threads[:limit]
        next_cursor = write_cursor(threads[-1].updated_at, threads[-1].id)
    return ThreadPage(items=[thread_shape(thread) for thread in threads], next_cursor=next_cursor)


@router.post("/chat/threads", status_code=201)
async def new_thread(
    session: UserSession, services: GatewayServices, body: NewThread | None = None
) -> OneThread:
    """Start a thread. Without a title, its first message names it."""
    thread = await services.threads.insert_thread(
        new_id("t"),
        user_id=session.user_id,
        title=(body and body.title) or "",
        now=services.clock.now(),
    )
    return OneThread(thread=thread_shape(thread))


@router.get("/chat/threads/{thread_id}")
async def thread_messages(
    session: UserSession,
    services: GatewayServices,
    thread_id: ThreadIdInPath,
    limit: PageLimit = PAGE_ROWS,
    cursor: PageCursor = None,
) -> MessagePage:
    """A page of the thread's messages: the newest first of all, older ones by `next_cursor`.

    `limit` counts what the user sent; every such message comes with its answer.
    """
    thread = await _thread(services, session.user_id, thread_id)
    return await _page(services, thread, before=read_cursor(cursor), limit=limit)


@router.patch("/chat/threads/{thread_id}")
async def rename_thread(
    session: UserSession, services: GatewayServices, thread_id: ThreadIdInPath, body: RenameThread
) -> OneThread:
    """Give the thread another title."""
    if not await services.threads.rename_thread(session.user_id, thread_id, body.title):
        raise NotFound
    return OneThread(thread=thread_shape(await _thread(services, session.user_id, thread_id)))


@router.delete("/chat/threads/{thread_id}", status_code=204)
async def remove_thread(session: UserSession, services: GatewayServices, thread_id: ThreadIdInPath) -> None:
    """Hide the thread for good and stop what it is still answering. What it used stays used."""
    done = await delete_thread(
        session.user_id,
        thread_id,
        threads=services.threads,
        cancel=services.cancel,
        now=services.clock.now(),
    )
    if not done:
        raise NotFound


async def _thread(services: Services, user_id: str, thread_id: str) -> Thread:
    thread = await services.threads.find_thread(user_id, thread_id)
    if thread is None:
        raise NotFound
    return thread


async def _page(services: Services, thread: Thread, *, before: Place | None, limit: int) -> MessagePage:
    messages = await services.threads.list_messages(thread, before=before, limit=limit + 1)
    next_cursor = None
    if len(messages) > limit:
        messages = messages[:limit]
        next_cursor = write_cursor(messages[-1].created_at, messages[-1].id)
    answers = await AnswerReader(services.db).answers_to(messages, now=services.clock.now())
    return MessagePage(thread=conversation(thread, messages, answers), next_cursor=next_cursor)
