"""Ask: the one way from a message to a run.

Nothing is published that is not paid for, and nothing is held that is not published: whatever fails on the
way is taken back before the caller hears of it. From the hold on, all happens in a task of its own, so a
client that goes away in the middle leaves nothing half done. What a gateway that was killed left half done
is gone on with when the same message comes again, or its run is followed: hold and run are known by the run's
id, so asking for them twice is asking once.
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
from common.crash_points import CrashPoints
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
from common.ids import new_id
from common.log import get_logger
from common.tokens import count_tokens
from gateway.asking.branches import Branch, Branches
from gateway.asking.estimate import Sizes, estimate_input_tokens
from gateway.asking.records import Asked, Sent
from gateway.ledger import Ledger, open_account
from gateway.limits.limits import Limits
from gateway.publisher import EventPublisher
from gateway.streaming.follower import Follower
from gateway.streaming.hub import RunHub
from gateway.streaming.stored_runs import StoredRuns
from gateway.threads.records import AT_THE_END, Place, Thread, UserMessage
from gateway.threads.repository import ThreadRepository

log = get_logger()

CLAIM_WITHIN = timedelta(minutes=5)
_TAKE_BACK_PAUSES_S = (1.0, 5.0, 20.0)
_CALL_DEADLINE_S = 5.0
_ASKED_WITHIN_S = 3.5
_RELEASED_WITHIN_S = 1.0
"""Together below 5 s: whoever is refused because a server is away waits no longer for it."""
_ASKED_AGAIN_AFTER = timedelta(seconds=5)
"""By then a request was made, or taken back, or its gateway is dead."""
_TIMERS_EARLY_S = 0.01
"""uvloop's timers count whole milliseconds, and end up to one of them too early by the clock."""
_LOOKED_AGAIN_AFTER_S = 6.0
"""Longer than that: what was asked in vain may be asked again."""


class _AskedBefore(Exception):
    def __init__(self, message: UserMessage) -> None:
        super().__init__()
        self.message = message


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
    crash: CrashPoints = field(default_factory=CrashPoints)
    branches: Branches = field(init=False)
    _instructions_tokens: int = field(init=False)
    _draining: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _seen_to: set[str] = field(init=False, default_factory=set[str])
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set[asyncio.Task[None]])

    def __post_init__(self) -> None:
        self.branches = Branches(threads=self.threads, stored=self.stored, clock=self.clock)
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
        sent = Sent(session, thread_id, text, client_message_id, place)
        until_s = self.clock.monotonic_s() + _ASKED_WITHIN_S
        try:
            return await self._ask(sent, until_s=until_s, is_counted=False)
        except ThreadBusy:
            if client_message_id is None:
                raise
        # What keeps the thread may be this very message, which was sent a moment before by a connection that
        # is gone, and was stored, or taken back, while it was looked for.
        return await self._ask(sent, until_s=until_s, is_counted=True)

    def see_to(self, message: UserMessage, session: Session) -> None:
        """Ask for the message's run until the queue has it: whoever was to do so may have been killed.

        For whoever follows a run that no worker has claimed. Once more does no harm.
        """
        if message.run_id not in self._seen_to:
            self._seen_to.add(message.run_id)
            task = self._in_background(self._see_to(message, session))
            task.add_done_callback(lambda _: self._seen_to.discard(message.run_id))

    async def drain(self) -> None:
        """Wait for what is half way, releases included; what was asked for in vain is not asked for again."""
        self._draining.set()
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

    async def _ask(self, sent: Sent, *, until_s: float, is_counted: bool) -> Follower:
        session, place = sent.session, sent.place
        try:
            async with asyncio.timeout(max(0.0, until_s - self.clock.monotonic_s())):
                thread, before = await self._look(sent, is_counted=is_counted)
                branch = Branch() if before is not None else await self.branches.at(thread, place)
        except TimeoutError:
            raise Unavailable from None
        if before is not None:
            return self._join(before, session, thread_id=sent.thread_id, text=sent.text, place=place)
        message = self._message(thread, sent, follows=branch.follows)
        return await self._begin(self._asked(session, thread, message, branch, until_s=until_s))

    async def _look(self, sent: Sent, *, is_counted: bool) -> tuple[Thread, UserMessage | None]:
        """Count the message unless it is; return its thread, and what was sent under its id before."""
        user_id = sent.session.user_id
        counting = asyncio.sleep(0) if is_counted else self.limits.check_message_rate(user_id)
        _, thread, before = await asyncio.gather(
            counting,
            self._find_thread(user_id, sent.thread_id),
            self._asked_before(user_id, sent.client_message_id),
        )
        return thread, before

    async def _find_thread(self, user_id: str, thread_id: str) -> Thread:
        thread = await self.threads.find_thread(user_id, thread_id)
        if thread is None:
            raise NotFound("There is no such thread")
        return thread

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

    def _join(
        self, message: UserMessage, session: Session, *, thread_id: str, text: str, place: Place
    ) -> Follower:
        if (message.text, message.thread_id, message.place) != (text, thread_id, place):
            raise IdReused("This client_message_id was used for another message")
        follower = self.hub.follow(message.run_id, message.user_id)
        self.see_to(message, session)
        return follower

    async def _see_to(self, message: UserMessage, session: Session) -> None:
        left = message.created_at + _ASKED_AGAIN_AFTER - self.clock.now()
        await asyncio.sleep(max(0.0, left.total_seconds() + _TIMERS_EARLY_S))
        while not await self._ask_again(message, session):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOKED_AGAIN_AFTER_S):
                    await self._draining.wait()
                    return

    async def _ask_again(self, message: UserMessage, session: Session) -> bool:
        """Ask for a run that nobody has begun. False: it is to be looked at again."""
        run_id, user_id, now = message.run_id, message.user_id, self.clock.now()
        try:
            if await self._is_claimed(message) or not await self.threads.awaits_request(
                run_id, user_id, now=now
            ):
                return True
            if not await self.threads.mark_asked_again(
                run_id, user_id, now=now, before=now - _ASKED_AGAIN_AFTER
            ):
                # Somebody else has asked a moment ago, and may yet fail, or be killed.
                return False
            thread = await self.threads.find_thread(user_id, message.thread_id)
            if thread is None or thread.last_run_id != run_id:
                # The thread was never taken for it, so it was never asked for; now that may be too late.
                await self.threads.withdraw_message(run_id, user_id)
                return True
            branch = await self.branches.behind(message.follows, thread, otherwise=Branch())
            until_s = self.clock.monotonic_s() + _ASKED_WITHIN_S
            await self._start(self._asked(session, thread, message, branch, until_s=until_s), again=True)
            await self.threads.mark_asked_for_good(run_id, user_id)
        except (AppError, PyMongoError) as error:
            log.warning("not_asked_again", run_id=run_id, error=type(error).__name__)
            return False
        return True

    def _message(self, thread: Thread, sent: Sent, *, follows: str | None) -> UserMessage:
        now = self.clock.now()
        return UserMessage(
            id=new_id("m"),
            thread_id=thread.id,
            user_id=thread.user_id,
            text=sent.text,
            run_id=new_id("r"),
            client_message_id=sent.client_message_id,
            follows=follows,
            created_at=now,
            claim_until=now + CLAIM_WITHIN,
            place=sent.place,
        )

    def _asked(
        self, session: Session, thread: Thread, message: UserMessage, branch: Branch, *, until_s: float
    ) -> Asked:
        sizes = Sizes(
            instructions=self._instructions_tokens,
            context=branch.context_tokens,
            question=count_tokens(message.text),
        )
        return Asked(
            session=session,
            thread=thread,
            message=message,
            input_tokens=estimate_input_tokens(sizes, max_input_tokens=self.assistant.max_input_tokens),
            until_s=until_s,
        )

    async def _begin(self, asked: Asked) -> Follower:
        message = asked.message
        # Listening before the run can begin: its first chunk need not be looked for.
        follower = self.hub.follow(message.run_id, message.user_id, may_be_stored=False)
        try:
            await asyncio.shield(self._in_background(self._start(asked)))
        except _AskedBefore as repeat:
            follower.close()
            return self._join(
                repeat.message,
                asked.session,
                thread_id=message.thread_id,
                text=message.text,
                place=message.place,
            )
        except BaseException:
            follower.close()
            raise
        return follower

    async def _start(self, asked: Asked, *, again: bool = False) -> None:
        # The thread is taken before the hold is placed: of many messages at once only those that own
        # their thread draw on the balance, so none is refused for the sake of one that loses anyway.
        stored = again
        try:
            if not stored:
                await self._store(asked)
                stored = True
                self.crash.reach("gateway.stored")
            held = await self._hold(asked)
            self.crash.reach("gateway.held")
            request = asked.request(assistant=self.assistant.reference, hold_tokens=held.hold_tokens)
            await self.publisher.publish(request, deadline_s=self._left_s(asked))
        except (AppError, PyMongoError) as error:
            if again and not isinstance(error, Refused):
                # Unless nothing is held, the first request may be waiting for a worker: the message stays.
                raise
            maybe_held = stored and not isinstance(error, Refused)
            if await self._take_back(asked.message, release=maybe_held):
                raise

    async def _hold(self, asked: Asked) -> HoldReply:
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
            return await self.ledger.call(command, HoldReply, deadline_s=self._left_s(asked))
        except UnknownAccount:
            await open_account(self.ledger, asked.session, deadline_s=self._left_s(asked))
            return await self.ledger.call(command, HoldReply, deadline_s=self._left_s(asked))

    def _left_s(self, asked: Asked) -> float:
        return max(0.0, asked.until_s - self.clock.monotonic_s())

    async def _store(self, asked: Asked) -> None:
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
        # A request whose confirmation was lost may be delivered yet. The message goes before the second look:
        # a worker claims, then reads the message, so one of us sees the other, and a worker that finds none
        # waits whether it is put back; one that comes later ends the run, which costs nothing.
        if await self._is_claimed(message):
            return False
        await self.threads.withdraw_message(message.run_id, message.user_id)
        if await self._is_claimed(message):
            await self.threads.insert_message(message)
            return False
        if release:
            command = ReleaseHoldV1(request_id=new_id("q"), run_id=message.run_id, user_id=message.user_id)
            with suppress(UnknownAccount):
                await self.ledger.call(command, AccountReply, deadline_s=deadline_s)
        return True

    async def _is_claimed(self, message: UserMessage) -> bool:
        return await self.stored.find(message.run_id, message.user_id) is not None

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
        if isinstance(error, PyMongoError):
            log.warning("ask_broken_off", error=type(error).__name__)
        elif error is not None and not isinstance(error, AppError | _AskedBefore):
            # Whoever asked may be gone: nobody else would say it.
            log.error("ask_failed", exc_info=error)
