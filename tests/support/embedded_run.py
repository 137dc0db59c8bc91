"""`make run` as a process, as its user has it: without this machine's settings, on data of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from embedded import processes, run_file
from embedded.ports import free_ports
from embedded.run_file import RunFile
from embedded.stack import READY_WITHIN_S

_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
_STARTED_WITHIN_S = 30.0
"""The interpreter, and what a killed run left behind; the product's own bound begins after it."""
_LOOK_EVERY_S = 0.1


class EmbeddedRun:
    """One run, to be ended by `end` or `kill`; another one may follow on the same data."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self._output = data_dir.with_name(f"{data_dir.name}.out")
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        own = {"DATA_DIR": str(data_dir), "PORT": str(next(free_ports()))}
        self._env = inherited | own | settings
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "embedded"],
                # Not where a developer's `.env` lies.
                cwd=data_dir.parent,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    async def until_ready(self) -> RunFile:
        """Wait for `run.json`; fails with the output when the run ends instead."""
        async with asyncio.timeout(_STARTED_WITHIN_S + READY_WITHIN_S):
            while (running := RunFile.read(self.data_dir)) is None:
                assert self.process.poll() is None, self.output()
                await asyncio.sleep(_LOOK_EVERY_S)
        return running

    async def printed(self, name: str) -> str:
        """Wait for the line that begins with a name; return the rest of it."""
        async with asyncio.timeout(30):
            while not (lines := [line for line in self.output().splitlines() if line.startswith(name)]):
                await asyncio.sleep(_LOOK_EVERY_S)
        return lines[0].removeprefix(name).strip()

    async def audit(self) -> tuple[int, str]:
        """Audit it as its user does; return the exit code and what was printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "embedded.audit"),
            cwd=self.data_dir.parent,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def until_again(self, part: str, *, not_pid: int) -> int:
        """Wait until a part that has ended runs again; return its process."""
        async with asyncio.timeout(60):
            while (pid := self.pid_of(part)) in {None, not_pid}:
                await asyncio.sleep(_LOOK_EVERY_S)
        assert pid is not None
        return pid

    async def until_ok(self, path: str) -> httpx.Response:
        """Ask until the gateway answers with success."""
        running = RunFile.read(self.data_dir)
        assert running is not None
        async with asyncio.timeout(60), httpx.AsyncClient(base_url=running.url, timeout=30) as client:
            while True:
                try:
                    answer = await client.get(path)
                    if answer.is_success:
                        return answer
                except httpx.TransportError:
                    pass
                await asyncio.sleep(_LOOK_EVERY_S)

    def pid_of(self, part: str) -> int | None:
        """Return the process of a part that has one, None while it is being started again."""
        running = RunFile.read(self.data_dir)
        pid = running.pids[part] if running else None
        assert pid is None or isinstance(pid, int)
        return pid

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, 120)

    def kill(self) -> None:
        """Kill the process itself; what it started lives on."""
        self.process.kill()
        self.process.wait()
        # It could not do so itself, and what it says is no longer kept true.
        run_file.remove(self.data_dir)

    def tidy(self) -> None:
        """End whatever is left, also after a failed test."""
        if self.process.poll() is None:
            self.kill()
        processes.end_marked(self.data_dir, grace_s=0)
