"""The summary of usage that a model writes, from figures that are computed here.

The gateway has no key of the provider's. It asks as a user does, in the name of the house: the prompt is a
message, its tokens are held before and booked after, and a worker answers it. So a summary is accounted for
like everything else, whatever crashes.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from common.auth import HOUSE_USER_ID, Session
from common.errors import AppError, ModelFailed
from common.ids import new_id
from common.log import get_logger
from common.mongo.client import Database
from common.tokens import count_tokens
from gateway.asking.ask import Ask
from gateway.dashboard.ranges import Range
from gateway.dashboard.summary_prompt import differing, write_prompt
from gateway.dashboard.usage import UsageReport
from gateway.ledger import open_account
from gateway.streaming.cancel import CancelRun
from gateway.streaming.follower import Follower

log = get_logger()

_SHARE_OF_INPUT = 0.8
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`figures` are what the model was given; `corrected` names those of the body that were not true."""

    text: str
    figures: dict[str, Any]
    model: str
    generated_at: datetime
    corrected: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSummary:
    """Asks the model for a summary. `timeout_s` is how long it may take before it is stopped."""

    db: Database
    usage: UsageReport
    ask: Ask
    cancel: CancelRun
    timeout_s: float = _TIMEOUT_S

    async def __call__(self, asked: Range, stats: dict[str, Any] | None) -> Summary:
        """Compute the figures anew, whatever `stats` says, and have them put into words.

        Raises ModelFailed; InsufficientBalance, RateLimited and TooManyRuns of the house; Unavailable.
        """
        report = await self.usage(asked)
        tokens_max = int(_SHARE_OF_INPUT * self.ask.assistant.max_input_tokens)
        prompt, figures = write_prompt(report, tokens_max=tokens_max, count_tokens=count_tokens)
        corrected = differing(stats, report.model_dump(mode="json")) if stats else []
        run_id = await self._run(prompt)
        run = await self.db["runs"].find_one({"_id": run_id, "user_id": HOUSE_USER_ID})
        if run is None or run["state"] not in {"completed", "incomplete"} or not run["text"].strip():
            log.warning("summary_failed", run_id=run_id, state=run["state"] if run else None)
            raise ModelFailed
        return Summary(
            text=run["text"].strip(),
            figures=figures,
            model=run["model"],
            generated_at=self.ask.clock.now(),
            corrected=corrected,
        )

    async def _run(self, prompt: str) -> str:
        """Ask, and wait for the end."""
        session = self._session()
        # As when a user opens the chat: a depleted account is granted anew.
        await open_account(self.ask.ledger, session)
        now = self.ask.clock.now()
        thread = await self.ask.threads.insert_thread(
            new_id("t"), user_id=HOUSE_USER_ID, title="Summary of usage", now=now
        )
        try:
            follower = await self.ask(session, thread_id=thread.id, text=prompt)
        except AppError:
            await self.ask.threads.delete_thread(HOUSE_USER_ID, thread.id, now=now)
            raise
        with follower:
            try:
                async with asyncio.timeout(self.timeout_s):
                    await _end_of(follower)
            except TimeoutError:
                await self._stop(follower.run_id)
                raise ModelFailed("The model took too long") from None
            return follower.run_id

    async def _stop(self, run_id: str) -> None:
        try:
            await self.cancel(HOUSE_USER_ID, run_id)
        except AppError as error:
            # It ended just now, or nobody can be told: then it ends by its own limit.
            log.warning("summary_not_cancelled", run_id=run_id, code=error.code)

    def _session(self) -> Session:
        expires_at = self.ask.clock.now() + timedelta(minutes=5)
        return Session(sub=HOUSE_USER_ID, exp=int(expires_at.timestamp()), name="House")


async def _end_of(follower: Follower) -> None:
    async for _ in follower:
        pass
