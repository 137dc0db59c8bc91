"""From a follower to a response, with one of the user's stream slots."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from fastapi import Response

from common.auth import Session
from gateway.context import Services
from gateway.streaming.follower import Follower
from gateway.streaming.sse import EventStream
from gateway.threads.records import UserMessage


async def stream_run(
    services: Services, user_id: str, follow: Callable[[], Awaitable[Follower]]
) -> EventStream:
    """Stream what `follow` returns. The slot is taken first, so that a refusal costs nothing."""
    async with AsyncExitStack() as held:
        await held.enter_async_context(services.limits.open_stream(user_id))
        follower = await follow()
        return EventStream(follower, services.stored_runs, held=held.pop_all())


async def resume_run(
    services: Services, session: Session, message: UserMessage, *, after_sequence: int
) -> Response:
    """Stream the rest of a message's run; 204 when there is none, which tells a browser not to come again."""
    run = await services.stored_runs.find(message.run_id, message.user_id)
    if run is not None and run.is_terminal and after_sequence >= run.last_sequence:
        return Response(status_code=204)

    async def follow() -> Follower:
        follower = services.hub.follow(message.run_id, message.user_id, after_sequence=after_sequence)
        if run is None:
            services.ask.see_to(message, session)
        return follower

    return await stream_run(services, message.user_id, follow)
