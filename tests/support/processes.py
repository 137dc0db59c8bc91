"""Programs as real processes: started on a free port, waited for, ended by their own id."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from embedded.ports import free_ports

TESTS = Path(__file__).parents[1]
READY_WITHIN_S = 90.0
END_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.02
_OUTPUT_SHOWN = 4_000


class ProgramFailed(AssertionError):
    """A program did not start, or did not end. Carries the end of what it wrote."""


def free_port() -> int:
    """Find a port that nobody listens on now, and that is this process's from now on."""
    return next(free_ports())


def accepts(port: int) -> bool:
    """Tell whether something accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """One process that the test started. Its output goes to a file, so that it never blocks on a pipe."""

    def __init__(self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        with tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log", delete=False) as output:
            self._output = Path(output.name)
            self._process = subprocess.Popen(
                list(argv),
                env={**os.environ, "PYTHONPATH": str(TESTS), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    async def until_ready(self, is_ready: Callable[[], bool], *, within_s: float = READY_WITHIN_S) -> None:
        """Wait until the condition holds. Raises ProgramFailed when it ends or takes too long."""
        deadline_s = asyncio.get_running_loop().time() + within_s
        while not is_ready():
            if not self.is_alive:
                raise self._failed(f"ended with {self._process.returncode}")
            if asyncio.get_running_loop().time() > deadline_s:
                raise self._failed(f"was not ready within {within_s:g} s")
            await asyncio.sleep(_LOOK_EVERY_S)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process only: SIGTERM, SIGKILL, SIGSTOP, SIGCONT."""
        self._process.send_signal(number)

    async def ended(self, *, within_s: float = END_WITHIN_S) -> int:
        """Wait for the end; return the exit code. Raises ProgramFailed when it takes too long."""
        deadline_s = asyncio.get_running_loop().time() + within_s
        while (code := self._process.poll()) is None:
            if asyncio.get_running_loop().time() > deadline_s:
                raise self._failed(f"did not end within {within_s:g} s")
            await asyncio.sleep(_LOOK_EVERY_S)
        return code

    async def close(self) -> None:
        """End it, by force if it will not go, and drop its output."""
        try:
            if self.is_alive:
                self.send(signal.SIGTERM)
                await self.ended()
        except ProgramFailed:
            self.send(signal.SIGKILL)
            self._process.wait()
            raise
        finally:
            self._output.unlink(missing_ok=True)

    def _failed(self, what: str) -> ProgramFailed:
        return ProgramFailed(f"{self.name} {what}; it wrote:\n{self.output()[-_OUTPUT_SHOWN:]}")


@asynccontextmanager
async def running(
    name: str, argv: Sequence[str], *, port: int, env: Mapping[str, str] | None = None
) -> AsyncGenerator[Program]:
    """Run a program for the length of a block, from when it listens on its port."""
    program = Program(name, argv, env=env)
    try:
        await program.until_ready(lambda: accepts(port))
        yield program
    finally:
        await program.close()


def python(module: str, *options: str) -> list[str]:
    """Write the command line of a Python module in this environment."""
    return [sys.executable, "-m", module, *options]
