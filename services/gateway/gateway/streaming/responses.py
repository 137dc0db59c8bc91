"""From a follower to a response, with one of the user's stream slots."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from fastapi import Response

from gateway.context import Services
from gateway.streaming.follower import Follower
from gateway.streaming.sse import EventStream


async def stream_run(
    services: Services, user_id: str, follow: Callable[[], Awaitable[Follower]]
) -> EventStream:
    """Stream what `follow` returns. The slot is taken first, so that a refusal costs nothing."""
    async with AsyncExitStack() as held:
        await held.enter_async_context(services.limits.open_stream(user_id))
        follower = await follow()
        return EventStream(follower, services.stored_runs, held=held.pop_all())


async def resume_run(services: Services, user_id: str, run_id: str, *, after_sequence: int) -> Response:
    """Stream the rest of a run; 204 when there is none, which tells a browser not to come again."""
    run = await services.stored_runs.find(run_id, user_id)
    if run is not None and run.is_terminal and after_sequence >= run.last_sequence:
        return Response(status_code=204)

    async def follow() -> Follower:
        return services.hub.follow(run_id, user_id, after_sequence=after_sequence)

    return await stream_run(services, user_id, follow)
