"""Ask: the one way from a message to a run.

Nothing is published that is not paid for, and nothing is held that is not published: whatever fails on the
way is taken back before the caller hears of it. From the hold on, all happens in a task of its own, so a
client that goes away in the middle leaves nothing half done.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pymongo.errors import PyMongoError

from common.assistants import Assistant
from common.auth import Session
from common.clock import Clock
from common.errors import (
    AppError,
    IdReused,
    Malformed,
    NotFound,
    Refused,
    ThreadBusy,
    TooLarge,
    Unavailable,
    UnknownAccount,
)
from common.events.ledger import AccountReply, HoldReply, PlaceHoldV1, ReleaseHoldV1
from common.events.runs import RunRequestedV1
from common.ids import new_id
from common.log import get_logger
from common.tokens import count_tokens
from gateway.asking.estimate import Sizes, estimate_input_tokens
from gateway.ledger import Ledger, open_account
from gateway.limits.limits import Limits
from gateway.publisher import EventPublisher
from gateway.streaming.follower import Follower
from gateway.streaming.hub import RunHub
from gateway.streaming.stored_runs import StoredRuns
from gateway.threads.records import Thread, UserMessage
from gateway.threads.repository import ThreadRepository

log = get_logger()

CLAIM_WITHIN = timedelta(minutes=5)
_TAKE_BACK_PAUSES_S = (1.0, 5.0, 20.0)
_CALL_DEADLINE_S = 5.0
_RELEASED_WITHIN_S = 1.0
"""Whoever is refused because the ledger or the queue is away has waited for it once already."""


class _AskedBefore(Exception):
    def __init__(self, message: UserMessage) -> None:
        super().__init__()
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in its thread a message is asked: instead of one, or behind one. At the end if unset."""

    replaces: str | None = None
    follows: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Branch:
    """What goes before a message: the one that it follows, and the tokens of the conversation up to there."""

    follows: str | None = None
    context_tokens: int = 0


AT_THE_END = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One message on its way."""

    session: Session
    thread: Thread
    message: UserMessage
    input_tokens: int


@dataclass(slots=True, kw_only=True)
class Ask:
    """Takes a message and returns a follower of the run that answers it.

    `runs_per_user`: open holds at once. `message_bytes_max`: of the text in UTF-8.
    """

    threads: ThreadRepository
    stored: StoredRuns
    hub: RunHub
    ledger: Ledger
    publisher: EventPublisher
    limits: Limits
    assistant: Assistant
    clock: Clock
    runs_per_user: int
    message_bytes_max: int
    _instructions_tokens: int = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set[asyncio.Task[None]])

    def __post_init__(self) -> None:
        self._instructions_tokens = count_tokens(self.assistant.instructions)

    async def __call__(
        self,
        session: Session,
        *,
        thread_id: str,
        text: str,
        client_message_id: str | None = None,
        place: Place = AT_THE_END,
    ) -> Follower:
        """Start a run, or join the one that the same `client_message_id` started before.

        Raises NotFound, ThreadBusy, IdReused, TooLarge, RateLimited, InsufficientBalance, TooManyRuns, and
        Unavailable; in all these cases nothing was started and nothing is held.
        """
        self._check_text(text)
        user_id = session.user_id
        _, thread, before = await asyncio.gather(
            self.limits.check_message_rate(user_id),
            self._find_thread(user_id, thread_id),
            self._asked_before(user_id, client_message_id),
        )
        if before is not None:
            return self._join(before, thread_id=thread_id, text=text)
        branch = await self._branch(thread, place)
        return await self._begin(self._asked(session, thread, text, client_message_id, branch))

    async def drain(self) -> None:
        """Wait for what is half way, releases included."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _check_text(self, text: str) -> None:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise Malformed("The message is not valid Unicode") from None
        if not text.strip():
            raise Malformed("The message is empty")
        if size > self.message_bytes_max:
            raise TooLarge(f"A message has at most {self.message_bytes_max} bytes")

    async def _find_thread(self, user_id: str, thread_id: str) -> Thread:
        thread = await self.threads.find_thread(user_id, thread_id)
        if thread is None:
            raise NotFound("There is no such thread")
        return thread

    async def _branch(self, thread: Thread, place: Place) -> _Branch:
        """Return what goes before the message. Raises NotFound for a place that is not in the thread."""
        end = await self._end_of(thread)
        if place.replaces is not None:
            follows = (await self._message_in(thread, place.replaces)).follows
        elif place.follows is not None:
            follows = (await self._message_in(thread, place.follows)).id
        else:
            return end
        if follows is None:
            return _Branch()
        run = await self.stored.answering(follows, thread.id, thread.user_id)
        # What was never answered has counted nothing; too many are held then, not too few.
        return _Branch(follows=follows, context_tokens=(run or end).context_tokens)

    async def _message_in(self, thread: Thread, message_id: str) -> UserMessage:
        message = await self.threads.find_message(thread.user_id, message_id)
        if message is None or message.thread_id != thread.id:
            raise NotFound("There is no such message in this thread")
        return message

    async def _end_of(self, thread: Thread) -> _Branch:
        """Return the newest branch as it is. Raises ThreadBusy while its last run is active."""
        if thread.last_run_id is None:
            return _Branch()
        last_run = await self.stored.last_run(thread.last_run_id, thread.user_id)
        if last_run is None:
            # Not claimed yet, or withdrawn.
            if await self.threads.active_run(thread, now=self.clock.now()) is not None:
                raise ThreadBusy
            last_run = await self.stored.newest_of_thread(thread.id, thread.user_id)
            if last_run is None:
                return _Branch()
        if last_run.is_active:
            raise ThreadBusy
        return _Branch(follows=last_run.message_id, context_tokens=last_run.context_tokens)

    async def _asked_before(self, user_id: str, client_message_id: str | None) -> UserMessage | None:
        """Find the message that was sent under this id. One whose run can never start any more makes room."""
        if client_message_id is None:
            return None
        message = await self.threads.find_message_by_client_id(user_id, client_message_id)
        if message is None or message.claim_until > self.clock.now():
            return message
        if await self.stored.find(message.run_id, user_id) is not None:
            return message
        await self.threads.withdraw_message(message.run_id, user_id)
        return None

    def _join(self, message: UserMessage, *, thread_id: str, text: str) -> Follower:
        if message.text != text or message.thread_id != thread_id:
            raise IdReused("This client_message_id was used for another message")
        return self.hub.follow(message.run_id, message.user_id)

    def _asked(
        self, session: Session, thread: Thread, text: str, client_message_id: str | None, branch: _Branch
    ) -> _Asked:
        now = self.clock.now()
        question_tokens = count_tokens(text)
        sizes = Sizes(
            instructions=self._instructions_tokens, context=branch.context_tokens, question=question_tokens
        )
        message = UserMessage(
            id=new_id("m"),
            thread_id=thread.id,
            user_id=session.user_id,
            text=text,
            tokens_estimate=question_tokens,
            run_id=new_id("r"),
            client_message_id=client_message_id,
            follows=branch.follows,
            created_at=now,
            claim_until=now + CLAIM_WITHIN,
        )
        return _Asked(
            session=session,
            thread=thread,
            message=message,
            input_tokens=estimate_input_tokens(sizes, max_input_tokens=self.assistant.max_input_tokens),
        )

    async def _begin(self, asked: _Asked) -> Follower:
        message = asked.message
        # Listening before the run can begin: its first chunk need not be looked for.
        follower = self.hub.follow(message.run_id, message.user_id, may_be_stored=False)
        try:
            await asyncio.shield(self._in_background(self._start(asked)))
        except _AskedBefore as repeat:
            follower.close()
            return self._join(repeat.message, thread_id=message.thread_id, text=message.text)
        except BaseException:
            follower.close()
            raise
        return follower

    async def _start(self, asked: _Asked) -> None:
        # The thread is taken before the hold is placed: of many messages at once only those that own
        # their thread draw on the balance, so none is refused for the sake of one that loses anyway.
        stored = False
        try:
            await self._store(asked)
            stored = True
            held = await self._hold(asked)
            await self.publisher.publish(self._request(asked, held.hold_tokens))
        except (AppError, PyMongoError) as error:
            maybe_held = stored and not isinstance(error, Refused)
            if await self._take_back(asked.message, release=maybe_held):
                raise

    async def _hold(self, asked: _Asked) -> HoldReply:
        command = PlaceHoldV1(
            request_id=new_id("q"),
            run_id=asked.message.run_id,
            user_id=asked.message.user_id,
            input_tokens=asked.input_tokens,
            output_tokens_min=self.assistant.min_output_tokens,
            output_tokens_max=self.assistant.max_output_tokens,
            open_holds_max=self.runs_per_user,
        )
        try:
            return await self.ledger.call(command, HoldReply)
        except UnknownAccount:
            await open_account(self.ledger, asked.session)
            return await self.ledger.call(command, HoldReply)

    async def _store(self, asked: _Asked) -> None:
        """Store the message, then take the thread: a run without a message does not keep a thread busy."""
        message = asked.message
        stored = await self.threads.insert_message(message)
        if stored.run_id != message.run_id:
            raise _AskedBefore(stored)
        taken = await self.threads.take_for_run(
            asked.thread, run_id=message.run_id, text=message.text, now=message.created_at
        )
        if not taken:
            raise ThreadBusy

    def _request(self, asked: _Asked, hold_tokens: int) -> RunRequestedV1:
        message = asked.message
        return RunRequestedV1(
            event_id=message.run_id,
            occurred_at=message.created_at,
            run_id=message.run_id,
            thread_id=message.thread_id,
            message_id=message.id,
            user_id=message.user_id,
            company=asked.session.company,
            assistant=self.assistant.reference,
            hold_tokens=hold_tokens,
            input_tokens_estimate=asked.input_tokens,
            max_output_tokens=hold_tokens - asked.input_tokens,
            claim_until=message.claim_until,
        )

    async def _take_back(self, message: UserMessage, *, release: bool) -> bool:
        """Undo what was done for the message. False: a worker has its run all the same, so it counts."""
        try:
            return await self._taken_back(message, release=release, deadline_s=_RELEASED_WITHIN_S)
        except (Unavailable, PyMongoError) as error:
            log.warning("ask_not_taken_back", run_id=message.run_id, error=type(error).__name__)
            self._in_background(self._take_back_later(message, release=release))
            return True

    async def _taken_back(
        self, message: UserMessage, *, release: bool, deadline_s: float = _CALL_DEADLINE_S
    ) -> bool:
        # A request whose confirmation was lost may be delivered yet. The message goes first: a worker
        # claims, then reads the message, so one of us sees the other; one that comes later finds no
        # message and ends the run, which costs nothing.
        await self.threads.withdraw_message(message.run_id, message.user_id)
        if await self.stored.find(message.run_id, message.user_id) is not None:
            await self.threads.insert_message(message)
            return False
        if release:
            command = ReleaseHoldV1(request_id=new_id("q"), run_id=message.run_id, user_id=message.user_id)
            with suppress(UnknownAccount):
                await self.ledger.call(command, AccountReply, deadline_s=deadline_s)
        return True

    async def _take_back_later(self, message: UserMessage, *, release: bool) -> None:
        # At the latest the message's `claim_until` frees the thread, and the ledger lets the hold expire.
        for pause_s in _TAKE_BACK_PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                await self._taken_back(message, release=release)
            except (Unavailable, PyMongoError):
                continue
            return

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, AppError | _AskedBefore):
            # Whoever asked may be gone: nobody else would say it.
            log.error("ask_failed", exc_info=error)
