"""A model that does as a test says, and remembers what it was asked for."""

import asyncio
from collections.abc import AsyncIterator

from chat_worker.engine.interface import EngineEvent, FileCited, ModelError, RunSpec, Snapshot

Script = list[EngineEvent | ModelError | asyncio.Event]
"""What a stream gives, one after the other; an error ends it, an event of asyncio is waited for."""


class ScriptedEngine:
    """Plays one script per request, whether it is asked to run or to resume."""

    def __init__(
        self, *scripts: Script, snapshot: Snapshot | None = None, file: bytes | ModelError = b""
    ) -> None:
        self._scripts = list(scripts)
        self._snapshot = snapshot
        self._file = file
        self.runs = 0
        self.resumes = 0
        self.asked: list[list[dict[str, str]]] = []
        self.cancelled: list[str] = []

    def run(self, spec: RunSpec) -> AsyncIterator[EngineEvent]:
        self.runs += 1
        self.asked.append(spec.input)
        return self._play()

    def resume(self, response_id: str) -> AsyncIterator[EngineEvent]:
        self.resumes += 1
        return self._play()

    async def _play(self) -> AsyncIterator[EngineEvent]:
        for step in self._scripts.pop(0):
            if isinstance(step, ModelError):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                yield step

    async def cancel(self, response_id: str) -> Snapshot | None:
        self.cancelled.append(response_id)
        return self._snapshot

    async def retrieve(self, response_id: str) -> Snapshot | None:
        return self._snapshot

    async def download(self, file: FileCited, *, bytes_max: int) -> bytes:
        if isinstance(self._file, ModelError):
            raise self._file
        return self._file
