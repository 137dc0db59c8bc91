"""A ledger in memory with one account, whose holds a test can look into and whose answers it can spoil."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel

from common.errors import InsufficientBalance, Refused, TooManyRuns, Unavailable, UnknownAccount
from common.events.envelope import Command
from common.events.ledger import (
    AccountReply,
    AccountView,
    HoldReply,
    OpenAccountV1,
    PlaceHoldV1,
    ReleaseHoldV1,
)

R = TypeVar("R", bound=BaseModel)


@dataclass(slots=True)
class HoldLedger:
    """`away` is raised by every command of the types in it; `lost_replies` carry the command out first.
    `refuses` is the answer to all holds.

    `waits` is told the deadline of each command that is not answered, which it lets pass.
    """

    available: int = 10_000
    is_open: bool = True
    holds: dict[str, int] = field(default_factory=dict[str, int])
    commands: list[Command] = field(default_factory=list[Command])
    away: set[type[Command]] = field(default_factory=set[type[Command]])
    lost_replies: set[type[Command]] = field(default_factory=set[type[Command]])
    refuses: Refused | None = None
    delay_s: float = 0.0
    waits: Callable[[float], None] | None = None

    async def call(self, command: Command, reply: type[R], *, deadline_s: float = 5.0) -> R:
        self.commands.append(command)
        await asyncio.sleep(self.delay_s)
        answer = None if type(command) in self.away else self._carry_out(command)
        if answer is None or type(command) in self.lost_replies:
            if self.waits is not None:
                self.waits(deadline_s)
            raise Unavailable
        return reply.model_validate(answer.model_dump())

    def _carry_out(self, command: Command) -> BaseModel:
        match command:
            case OpenAccountV1():
                self.is_open = True
                return AccountReply(account=self._view(command.user_id))
            case PlaceHoldV1():
                tokens = self._hold(command)
                return HoldReply(hold_tokens=tokens)
            case ReleaseHoldV1():
                self.available += self.holds.pop(command.run_id, 0)
                return AccountReply(account=self._view(command.user_id))
            case _:
                raise AssertionError(command)

    def _hold(self, command: PlaceHoldV1) -> int:
        if self.refuses is not None:
            raise self.refuses
        if not self.is_open:
            raise UnknownAccount
        if command.run_id in self.holds:
            return self.holds[command.run_id]
        if len(self.holds) >= command.open_holds_max:
            raise TooManyRuns
        if self.available < command.input_tokens + command.output_tokens_min:
            raise InsufficientBalance
        tokens = min(self.available, command.input_tokens + command.output_tokens_max)
        self.available -= tokens
        self.holds[command.run_id] = tokens
        return tokens

    def _view(self, user_id: str) -> AccountView:
        held = sum(self.holds.values())
        return AccountView(
            user_id=user_id,
            token_balance=self.available + held,
            token_held=held,
            token_available=self.available,
            token_grant=10_000,
            sequence=1,
        )
