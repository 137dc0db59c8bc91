"""Where a message goes in its thread: behind which other one, and how many tokens come before it."""

from dataclasses import dataclass

from common.clock import Clock
from common.errors import NotFound, ThreadBusy, Unavailable
from gateway.streaming.stored_runs import StoredRuns
from gateway.threads.records import Place, Thread, UserMessage
from gateway.threads.repository import ThreadRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """What goes before a message: the one that it follows, and the tokens of the conversation up to there."""

    follows: str | None = None
    context_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Branches:
    """Reads threads as the trees that they are."""

    threads: ThreadRepository
    stored: StoredRuns
    clock: Clock

    async def at(self, thread: Thread, place: Place) -> Branch:
        """Return what goes before a message that is asked there.

        Raises ThreadBusy, Unavailable, and NotFound for a place that is not in the thread.
        """
        end = await self._end_of(thread)
        if place.replaces is not None:
            follows = (await self._message_in(thread, place.replaces)).follows
        elif place.follows is not None:
            follows = (await self._message_in(thread, place.follows)).id
        else:
            return end
        return await self.behind(follows, thread, otherwise=end)

    async def behind(self, message_id: str | None, thread: Thread, *, otherwise: Branch) -> Branch:
        """Return the branch up to a message, None for the beginning; as long as `otherwise` if unanswered."""
        if message_id is None:
            return Branch()
        run = await self.stored.answering(message_id, thread.id, thread.user_id)
        # What was never answered has counted nothing; too many are held then, not too few.
        return Branch(follows=message_id, context_tokens=(run or otherwise).context_tokens)

    async def _message_in(self, thread: Thread, message_id: str) -> UserMessage:
        message = await self.threads.find_message(thread.user_id, message_id)
        if message is None or message.thread_id != thread.id:
            raise NotFound("There is no such message in this thread")
        return message

    async def _end_of(self, thread: Thread) -> Branch:
        """Return the newest branch as it is.

        Raises ThreadBusy while its last run is active, and Unavailable if that one only has to find out that
        its message was taken back.
        """
        if thread.last_run_id is None:
            return Branch()
        last_run = await self.stored.last_run(thread.last_run_id, thread.user_id)
        if last_run is None and await self.threads.awaits_claim(
            thread.last_run_id, thread.user_id, now=self.clock.now()
        ):
            raise ThreadBusy
        if last_run is None or last_run.is_withdrawn:
            # Its message is gone: whatever followed it would be cut off from all that was said before.
            last_run = await self.stored.newest_of_thread(thread.id, thread.user_id)
            if last_run is None:
                return Branch()
        if last_run.is_active:
            if await self.threads.find_message(thread.user_id, last_run.message_id) is None:
                raise Unavailable("The message before is being withdrawn, please try again")
            raise ThreadBusy
        return Branch(follows=last_run.message_id, context_tokens=last_run.context_tokens)
