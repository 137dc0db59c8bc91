"""Deleting a thread also stops its answer: nobody will read it, and it costs tokens."""

from datetime import datetime

from common.errors import NotFound, Unavailable
from common.log import get_logger
from gateway.streaming.cancel import CancelRun
from gateway.threads.repository import ThreadRepository

log = get_logger()


async def delete_thread(
    user_id: str, thread_id: str, *, threads: ThreadRepository, cancel: CancelRun, now: datetime
) -> bool:
    """Hide the thread; False: not there. The stop is told if it can be: a run that misses it just ends."""
    thread = await threads.delete_thread(user_id, thread_id, now=now)
    if thread is None:
        return False
    run_id = await threads.active_run(thread, now=now)
    if run_id is None:
        return True
    try:
        await cancel.request(user_id, run_id)
    except (NotFound, Unavailable) as error:
        log.warning("cancel_not_told", run_id=run_id, code=error.code)
    return True
