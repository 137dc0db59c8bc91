"""Deleting a thread also stops its answer: nobody will read it, and it costs tokens."""

from common.clock import Clock
from common.errors import Unavailable
from common.events.runs import RunCancelRequestedV1
from common.ids import new_id
from common.log import get_logger
from gateway.publisher import EventPublisher
from gateway.threads.repository import ThreadRepository

log = get_logger()


async def delete_thread(
    user_id: str, thread_id: str, *, threads: ThreadRepository, publisher: EventPublisher, clock: Clock
) -> bool:
    """Hide the thread; False: not there. The stop is told if it can be: a run that misses it just ends."""
    now = clock.now()
    thread = await threads.delete_thread(user_id, thread_id, now=now)
    if thread is None:
        return False
    run_id = await threads.active_run(thread, now=now)
    if run_id is None:
        return True
    await threads.mark_cancel_requested(user_id, run_id, now=now)
    event = RunCancelRequestedV1(event_id=new_id("e"), occurred_at=now, run_id=run_id)
    try:
        await publisher.publish(event)
    except Unavailable as error:
        log.warning("cancel_not_told", run_id=run_id, code=error.code)
    return True
