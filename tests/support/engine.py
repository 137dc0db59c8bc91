"""Listening to the engine: what a stream gave until it ended, and how it ended."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from chat_worker.engine.interface import Delta, EngineEvent, FileCited, Finished, ModelError, RunSpec, Started
from chat_worker.engine.openai_engine import OpenAIEngine
from common.ids import new_id

API_KEY = "sk-test"


@asynccontextmanager
async def connected_engine(base_url: str, *, idle_s: float = 3.0) -> AsyncGenerator[OpenAIEngine]:
    engine = OpenAIEngine.connect(api_key=API_KEY, base_url=base_url, idle_s=idle_s, connections_max=200)
    try:
        yield engine
    finally:
        await engine.close()


def spec_of(**changes: Any) -> RunSpec:
    spec = RunSpec(
        run_id=new_id("r"),
        attempt=1,
        thread_id=new_id("t"),
        user_ref="a-keyed-hash",
        model="sim-1",
        instructions="Be brief.",
        input=[{"role": "user", "content": "hello"}],
        max_output_tokens=100,
    )
    return replace(spec, **changes)


class Heard:
    """What a stream gave until it ended, and how it ended."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []
        self.error: ModelError | None = None

    @property
    def text(self) -> str:
        return "".join(e.text for e in self.events if isinstance(e, Delta))

    @property
    def started(self) -> Started:
        [started] = [e for e in self.events if isinstance(e, Started)]
        return started

    @property
    def response_id(self) -> str:
        assert self.started.response_id is not None
        return self.started.response_id

    @property
    def finished(self) -> Finished:
        ends = [e for e in self.events if isinstance(e, Finished)]
        assert len(ends) == 1, self.error
        return ends[0]

    @property
    def files(self) -> list[FileCited]:
        return [e for e in self.events if isinstance(e, FileCited)]


async def listen(events: AsyncGenerator[EngineEvent], *, until: type[Any] | None = None) -> Heard:
    heard = Heard()
    try:
        async with aclosing(events) as open_events:
            async for event in open_events:
                heard.events.append(event)
                if until is not None and isinstance(event, until):
                    break
    except ModelError as error:
        heard.error = error
    return heard
