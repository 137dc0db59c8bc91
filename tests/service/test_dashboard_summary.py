"""A summary whose model does not answer in time."""

from dataclasses import replace

import pytest

from common.errors import ModelFailed
from gateway.dashboard.ranges import read_range
from support.gateway_app import close_services, gateway_services
from support.hold_ledger import HoldLedger


async def test_a_summary_that_takes_too_long_fails_and_its_run_is_asked_to_stop(db_url: str, redis_url: str):
    services = gateway_services(db_url=db_url, redis_url=redis_url)
    try:
        write = services.dashboard.summary
        # Nobody works on the run, so it has no end.
        ask, cancel = replace(write.ask, ledger=HoldLedger()), replace(write.cancel, patience_s=0.1)
        write = replace(write, timeout_s=0.2, ask=ask, cancel=cancel)
        with pytest.raises(ModelFailed, match="too long"):
            await write(read_range(None, None, "UTC", now=services.clock.now()), None)
        messages = await services.db["messages"].find({"cancel_requested_at": {"$ne": None}}).to_list(None)
        assert len(messages) == 1
    finally:
        await close_services(services)
