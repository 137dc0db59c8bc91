"""Threads and messages as the API shows them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.auth import Role, Session
from common.clock import rfc3339
from common.events.envelope import Company
from common.events.ledger import AccountView
from common.ids import answer_id
from gateway.parameters import PRINTABLE, Body
from gateway.threads.answers import Answer
from gateway.threads.records import Thread, UserMessage

Title = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]


class Shape(BaseModel):
    """Base of what is shown. An answer that is not as expected must not show up in a log by its text."""

    model_config = ConfigDict(hide_input_in_errors=True)


class UsageShape(Shape):
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int
    estimated: bool


class FileName(Shape):
    id: str
    name: str


class AnswerError(Shape):
    code: str
    message: str
    retryable: bool


class MessageShape(Shape):
    """A message of the user (`status` is `sent`) or of the assistant (`status` is its run's).

    An `active` answer has no text yet: `GET /chat/runs/{run_id}/events` streams all of it. A user's message
    `follows` the one behind which it was asked; those that follow the same one are versions of each other.
    """

    id: str
    role: Literal["user", "assistant"]
    text: str
    run_id: str
    created_at: str
    flagged: bool
    status: Literal["sent", "active", "completed", "incomplete", "cancelled", "interrupted", "failed"]
    client_message_id: str | None = None
    follows: str | None = None
    usage: UsageShape | None = None
    error: AnswerError | None = None
    files: list[FileName] = []
    annotations: list[dict[str, Any]] = []


class ThreadShape(Shape):
    id: str
    title: str
    created_at: str
    updated_at: str


class ThreadWithMessages(ThreadShape):
    messages: list[MessageShape]


class TokensShape(Shape):
    token_balance: int
    token_sequence: int
    token_available: int
    token_grant: int
    next_grant_at: str | None


class AccountShape(TokensShape):
    """`next_grant_at`: when the grant comes, should the balance be used up by then; null if there is none.

    `user_id`: whose tokens they are. The session is the browser's: another tab may have changed the user.
    `token_sequence` grows with every change of the balance: of two answers or events, the one with the higher
    is newer. `token_available` also moves without it, by holds; of two with the same, the later counts.
    """

    user_id: str


class UserShape(TokensShape):
    """`more_tokens_url`: where to get more; null if nowhere."""

    id: str
    name: str | None
    company: Company | None
    role: Role
    more_tokens_url: str | None


class SessionShape(Shape):
    sub: str
    expires_at: str


class LatestThread(Shape):
    """`next_cursor` leads to older messages, as in a page of the thread."""

    thread: ThreadWithMessages
    next_cursor: str | None
    user: UserShape
    session: SessionShape


class OneThread(Shape):
    thread: ThreadShape


class ThreadPage(Shape):
    items: list[ThreadShape]
    next_cursor: str | None


class MessagePage(Shape):
    """Messages in the order they were sent; `next_cursor` leads to older ones."""

    thread: ThreadWithMessages
    next_cursor: str | None


class NewThread(Body):
    title: Title | None = None


class RenameThread(Body):
    title: Title


def thread_shape(thread: Thread) -> ThreadShape:
    return ThreadShape(**_thread_fields(thread))


def conversation(
    thread: Thread, messages: Sequence[UserMessage], answers: Mapping[str, Answer]
) -> ThreadWithMessages:
    """Put every answer behind the message that it answers. `messages` come newest first, as they are read."""
    shapes: list[MessageShape] = []
    for message in reversed(messages):
        shapes.append(_message_shape(message))
        shapes.append(_answer_shape(message, answers[message.run_id]))
    return ThreadWithMessages(messages=shapes, **_thread_fields(thread))


def account_shape(account: AccountView) -> AccountShape:
    return AccountShape(user_id=account.user_id, **_token_fields(account))


def user_shape(session: Session, account: AccountView, *, more_tokens_url: str) -> UserShape:
    return UserShape(
        id=session.user_id,
        name=session.name,
        company=session.company,
        role=session.role,
        more_tokens_url=more_tokens_url or None,
        **_token_fields(account),
    )


def _token_fields(account: AccountView) -> dict[str, Any]:
    return {
        "token_balance": account.token_balance,
        "token_sequence": account.sequence,
        "token_available": account.token_available,
        "token_grant": account.token_grant,
        "next_grant_at": None if account.next_grant_at is None else rfc3339(account.next_grant_at),
    }


def _thread_fields(thread: Thread) -> dict[str, Any]:
    return {
        "id": thread.id,
        "title": thread.title,
        "created_at": rfc3339(thread.created_at),
        "updated_at": rfc3339(thread.updated_at),
    }


def _message_shape(message: UserMessage) -> MessageShape:
    return MessageShape(
        id=message.id,
        role="user",
        text=message.text,
        run_id=message.run_id,
        created_at=rfc3339(message.created_at),
        flagged=message.flag is not None and message.flag.message_id == message.id,
        status="sent",
        client_message_id=message.client_message_id,
        follows=message.follows,
    )


def _answer_shape(message: UserMessage, answer: Answer) -> MessageShape:
    answer_message_id = answer_id(message.run_id)
    return MessageShape.model_validate(
        {
            "id": answer_message_id,
            "role": "assistant",
            "text": answer.text,
            "run_id": message.run_id,
            "created_at": rfc3339(answer.created_at),
            "flagged": message.flag is not None and message.flag.message_id == answer_message_id,
            "status": answer.status,
            "usage": None if answer.usage is None else _usage(answer.usage, estimated=answer.estimated),
            "error": answer.error,
            "files": list(answer.files),
            "annotations": list(answer.annotations),
        }
    )


def _usage(usage: Mapping[str, int], *, estimated: bool) -> dict[str, int | bool]:
    return {
        **usage,
        "total_tokens": usage["input_tokens"] + usage["output_tokens"],
        "estimated": estimated,
    }
