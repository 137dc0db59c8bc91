"""What several files of service tests share."""

from collections.abc import AsyncGenerator

import pytest

from chat_worker.engine.openai_engine import OpenAIEngine
from support.engine import connected_engine
from support.provider import Provider, simulated_provider


@pytest.fixture(scope="module")
async def running_provider() -> AsyncGenerator[Provider]:
    async with simulated_provider() as running:
        yield running


@pytest.fixture
async def provider(running_provider: Provider) -> Provider:
    """The module's simulated provider, without a script and with an empty journal."""
    await running_provider.reset()
    return running_provider


@pytest.fixture(scope="module")
async def running_engine(running_provider: Provider) -> AsyncGenerator[OpenAIEngine]:
    async with connected_engine(running_provider.base_url) as engine:
        yield engine


@pytest.fixture
def engine(running_engine: OpenAIEngine, provider: Provider) -> OpenAIEngine:
    """The worker's engine, connected to the module's provider."""
    return running_engine
