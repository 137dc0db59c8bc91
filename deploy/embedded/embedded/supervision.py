"""A private supervisord over our programs: starts them tier by tier, and again when one dies.

It runs in a session of its own, so that Ctrl-C reaches only whoever asked for the run.
"""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from common.service import EXIT_BAD_SETTINGS
from embedded import launch
from embedded.part import Part
from embedded.probes import PartFailed, until_ready
from embedded.processes import mark_of
from embedded.program import Program, Tier, bare_environment

_SOCKET_PATH_BYTES_MAX = 100
_START_TRIES = 3
"""After pauses of 1, 2 and 3 s; then the supervisor gives up until it is asked again. What ends because
of its settings is not tried again: they stay the same."""
_LOG_LINES = 15

_SUPERVISORD = """\
[supervisord]
nodaemon = true
silent = true
logfile = {logs}/supervisord.log
logfile_maxbytes = 1MB
logfile_backups = 1
pidfile = {directory}/supervisord.pid

[unix_http_server]
file = {directory}/supervisor.sock
chmod = 0700

[supervisorctl]
serverurl = unix://{directory}/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
_GROUP = """
[group:{tier}]
programs = {names}
priority = {priority}
"""
_PROGRAM = """
[program:{name}]
command = "{python}" -P -m embedded.launch "{launch}"
autostart = false
autorestart = unexpected
exitcodes = {refused}
startsecs = {start_s}
startretries = {tries}
stopsignal = TERM
stopwaitsecs = {stop_wait_s}
stopasgroup = {stop_as_group}
killasgroup = true
redirect_stderr = true
stdout_logfile = {log}
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 1
"""


@dataclass(frozen=True, slots=True)
class State:
    """`pid` is 0 while the program does not run; `name` is the supervisor's: RUNNING, BACKOFF, FATAL, …"""

    pid: int
    name: str
    exit_code: int


class Supervisor:
    """Runs the programs given. All its files lie in `directory`, the programs' output in `directory/log`."""

    def __init__(self, directory: Path, programs: Sequence[Program]) -> None:
        self._directory = directory.resolve()
        self._tier_of = {program.name: program.tier for program in programs}
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def open(self) -> None:
        """Start the supervisor itself; no program runs yet. Raises PartFailed."""
        if len(bytes(self._socket)) > _SOCKET_PATH_BYTES_MAX:
            raise PartFailed(f"{self._directory} is too long a path for a socket; choose a shorter DATA_DIR")
        self._socket.unlink(missing_ok=True)
        self._process = self._spawn(self._write())
        while not self._socket.exists():
            if not self.is_alive:
                raise PartFailed(f"supervisord ended at once:\n{_tail(self._logs / 'supervisord.err')}")
            await asyncio.sleep(0.05)

    async def start(self, tier: Tier) -> None:
        """Start a tier without waiting until its programs work."""
        if tier in self._tier_of.values():
            await self._call("startProcessGroup", tier.name.lower(), False)

    async def start_again(self, name: str) -> None:
        """Start a program that the supervisor has given up."""
        await self._call("startProcess", self._full_name(name), False)

    async def states(self) -> dict[str, State]:
        """Tell how every program is. Raises PartFailed when the supervisor is gone."""
        return {
            info["name"]: State(pid=info["pid"], name=info["statename"], exit_code=info["exitstatus"])
            for info in await self._call("getAllProcessInfo")
        }

    async def until_ready(self, part: Part, *, within_s: float) -> None:
        """Wait until the part works. Raises PartFailed, with the end of its log, when it will not."""
        name = part.program.name
        pids: set[int] = set()

        async def failure() -> str | None:
            state = (await self.states())[name]
            pids.update({state.pid} - {0})
            if state.name == "EXITED" and state.exit_code == EXIT_BAD_SETTINGS:
                return "it refused its settings"
            if state.name == "FATAL" or len(pids) > _START_TRIES:
                return "it keeps ending"
            return None

        try:
            await until_ready(name, part.probe, within_s=within_s, failure=failure)
        except PartFailed as error:
            raise PartFailed(f"{error}\nThe end of {self.log(name)}:\n{_tail(self.log(name))}") from error

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    async def close(self) -> None:
        """Stop all programs, the last tier first, and the supervisor."""
        if self._process is None:
            return
        if self.is_alive:
            self._process.terminate()
        await asyncio.to_thread(self._process.wait)
        self._socket.unlink(missing_ok=True)

    @property
    def _logs(self) -> Path:
        return self._directory / "log"

    @property
    def _socket(self) -> Path:
        return self._directory / "supervisor.sock"

    def _full_name(self, name: str) -> str:
        return f"{self._tier_of[name].name.lower()}:{name}"

    def _spawn(self, conf: Path) -> subprocess.Popen[bytes]:
        with (self._logs / "supervisord.err").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(conf)],
                cwd=self._directory,
                env=bare_environment(self._directory) | mark_of(self._directory),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def _write(self) -> Path:
        launches = self._directory / "launch"
        for folder in (self._logs, launches):
            folder.mkdir(parents=True, exist_ok=True)
        launches.chmod(0o700)
        parts = [_SUPERVISORD.format_map(_quoted(directory=self._directory, logs=self._logs))]
        for tier in sorted(set(self._tier_of.values())):
            names = ",".join(name for name, of in self._tier_of.items() if of is tier)
            parts.append(_GROUP.format(tier=tier.name.lower(), names=names, priority=tier.value + 1))
        for program in self._programs:
            launch.write(program, launches / f"{program.name}.json", mark=mark_of(self._directory))
            parts.append(self._section(program, launches / f"{program.name}.json"))
        conf = self._directory / "supervisord.conf"
        conf.write_text("".join(parts), encoding="utf-8")
        return conf

    def _section(self, program: Program, launch_file: Path) -> str:
        log = self.log(program.name)
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        values = _quoted(
            name=program.name,
            python=sys.executable,
            launch=launch_file,
            start_s=0 if program.tier is Tier.NAMES else 1,
            tries=_START_TRIES,
            refused=EXIT_BAD_SETTINGS,
            stop_wait_s=program.stop_wait_s,
            stop_as_group=str(program.stop_as_group).lower(),
            log=log,
        )
        return _PROGRAM.format_map(values)

    async def _call(self, method: str, *args: object) -> Any:
        # One connection for each call: the transport's own is not made for threads.
        transport = SupervisorTransport("", "", f"unix://{self._socket}")
        proxy = ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return await asyncio.to_thread(getattr(proxy.supervisor, method), *args)
        except (OSError, HTTPException, Fault) as error:
            raise PartFailed(f"the supervisor does not answer ({error})") from error
        finally:
            transport.close()


def _quoted(**values: object) -> dict[str, str]:
    """Write values for the supervisor's configuration, which expands per cent signs."""
    return {name: str(value).replace("%", "%%") for name, value in values.items()}


def _tail(path: Path) -> str:
    if not path.exists():
        return "(no output)"
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
