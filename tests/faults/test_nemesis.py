"""Ninety seconds of everything at once. `make nemesis SEED=… MINUTES=…` goes on for longer."""

import httpx
import pytest

from nemesis.run import nemesis, table
from support.servers import PrivateServers

SEED = 20_261_122


@pytest.mark.timeout(600)
async def test_every_token_is_accounted_for_whatever_breaks(
    mortal_servers: PrivateServers, mortal_management: httpx.AsyncClient
):
    outcome = await nemesis(mortal_servers, mortal_management, seed=SEED, minutes=1.5)
    print(table(outcome))
    assert outcome.has_passed, table(outcome)
    assert sum(outcome.faults.values()) >= 20
    assert outcome.verdict.states.total() >= 100
