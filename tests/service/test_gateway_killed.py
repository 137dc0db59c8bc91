"""A gateway that is killed half way through a send: the same message again is answered."""

import signal

import httpx
import pytest

from support.sim import sim
from support.stack import running_stack


@pytest.mark.parametrize("place", ["gateway.stored", "gateway.held"])
async def test_the_same_message_again_is_answered_and_booked_once(
    db_url: str, amqp_url: str, redis_url: str, place: str
):
    async with running_stack(db_url=db_url, amqp_url=amqp_url, redis_url=redis_url, gateways=0) as stack:
        doomed = await stack.add("gateway", CRASH_AT=place)
        await doomed.until_ready()
        user = stack.client("u1")
        thread_id = (await user.open())["thread"]["id"]
        with pytest.raises(httpx.TransportError):
            await user.ask(thread_id, sim(reply_tokens=20), client_message_id="c1")
        assert await doomed.program.ended(within_s=60) == -signal.SIGKILL
        (message,) = await stack.db["messages"].find({}).to_list(None)
        assert await stack.db["runs"].count_documents({}) == 0

        await doomed.restart(CRASH_AT="")
        answer = await user.ask(thread_id, sim(reply_tokens=20), client_message_id="c1")
        assert (answer.run_id, answer.status) == (message["run_id"], "completed")
        await stack.drained()
        (row,) = await stack.usage_rows()
        assert (row["run_id"], -row["tokens"]) == (answer.run_id, answer.usage["total_tokens"])
        assert (await stack.account("u1"))["holds"] == []
        assert len(await stack.journal()) == 1
        await stack.audit()
