"""Flagging a message. A flag on an answer is kept with the user's message that it answers."""

from common.clock import Clock
from common.ids import run_of_answer
from gateway.threads.records import Flag, UserMessage
from gateway.threads.repository import ThreadRepository


class Flags:
    """Sets and takes back the one flag that an exchange can have."""

    def __init__(self, threads: ThreadRepository, clock: Clock) -> None:
        self._threads = threads
        self._clock = clock

    async def flag(
        self, user_id: str, message_id: str, *, reasons: list[str], note: str | None
    ) -> UserMessage | None:
        """Flag a message or an answer; a second flag replaces the first. None: not the user's."""
        message = await self.find(user_id, message_id)
        if message is None:
            return None
        flag = Flag(message_id=message_id, reasons=tuple(reasons), note=note, at=self._clock.now())
        await self._threads.set_flag(message, flag)
        return message

    async def unflag(self, user_id: str, message_id: str) -> UserMessage | None:
        """Take a flag back. None: not the user's."""
        message = await self.find(user_id, message_id)
        if message is not None and message.flag is not None and message.flag.message_id == message_id:
            await self._threads.set_flag(message, None)
        return message

    async def find(self, user_id: str, message_id: str) -> UserMessage | None:
        """Find the user's message behind a message or an answer."""
        run_id = run_of_answer(message_id)
        if run_id is not None:
            return await self._threads.message_of_run(user_id, run_id)
        return await self._threads.find_message(user_id, message_id)
