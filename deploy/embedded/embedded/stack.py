"""One run from its start to its end: servers, then services, watched and ended."""

import asyncio
import contextlib
import fcntl
from collections.abc import Callable, Generator
from pathlib import Path

from embedded import processes, run_file
from embedded.config import Config
from embedded.part import Part
from embedded.plan import Plan, make_plan
from embedded.ports import is_free
from embedded.probes import PartFailed, Probe, together, until_ready
from embedded.program import Tier
from embedded.run_file import Pids, RunFile
from embedded.services import CHAT_WORKER
from embedded.supervision import State, Supervisor

READY_WITHIN_S = 60.0
"""All of it. What takes longer does not work."""
_GIVEN_READY_WITHIN_S = 10.0
_LEFTOVERS_GRACE_S = 15.0
_SWEEP_GRACE_S = 2.0
_WATCH_EVERY_S = 0.5

Tell = Callable[[str], None]


@contextlib.contextmanager
def held(data_dir: Path, tell: Tell) -> Generator[None]:
    """Hold the data directory for this process. Raises PartFailed when another run has it.

    The lock ends with the process, however that dies; what a killed run left behind is ended here.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = RunFile.read(data_dir)
            where = f" ({running.url})" if running else ""
            raise PartFailed(f"{data_dir} is in use by another run{where}; end it or set DATA_DIR") from None
        run_file.remove(data_dir)
        if ended := processes.end_marked(data_dir, grace_s=_LEFTOVERS_GRACE_S):
            tell(f"ended {ended} processes of a run that was killed")
        try:
            yield
        finally:
            run_file.remove(data_dir)
            processes.end_marked(data_dir, grace_s=_SWEEP_GRACE_S)


class Stack:
    """All parts of one run. To be used while the data directory is held."""

    def __init__(self, config: Config, tell: Tell) -> None:
        if not is_free(config.port, config.address):
            raise PartFailed(f"port {config.port} is taken; set PORT to another")
        self._data_dir = config.data_dir
        self._tell = tell
        self._plan: Plan = make_plan(config)
        self._parts = [*self._plan.servers, *self._plan.services]
        self._supervisor = Supervisor(config.data_dir, [p for part in self._parts for p in part.programs])
        self.url = config.url
        self.simulated_crm_url = self._plan.addresses.simulated_crm_url

    async def open(self) -> None:
        """Start everything and wait until it works. Raises PartFailed, after `READY_WITHIN_S` at most."""
        until_s = asyncio.get_running_loop().time() + READY_WITHIN_S
        await self._supervisor.open()
        await self._supervisor.start(Tier.NAMES)
        await self._supervisor.start(Tier.SERVERS)
        given = [self._given_ready(name, probe) for name, probe in self._plan.given.items()]
        await together([*given, *(self._ready(part, until_s) for part in self._plan.servers)])
        await self._supervisor.start(Tier.SERVICES)
        await together([self._ready(part, until_s) for part in self._plan.services])
        self._describe(await self._supervisor.states())

    async def watch(self) -> None:
        """Keep `run.json` true and start again what the supervisor gave up, until cancelled."""
        known = await self._supervisor.states()
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            states = await self._supervisor.states()
            if states == known:
                continue
            self._describe(states)
            for name, state in states.items():
                if state.name == "FATAL":
                    self._tell(f"{name} keeps ending, trying again; see {self._supervisor.log(name)}")
                    await self._supervisor.start_again(name)
            known = states

    async def close(self) -> None:
        """Let the services drain, then end the servers."""
        await self._supervisor.close()

    async def _ready(self, part: Part, until_s: float) -> None:
        left_s = until_s - asyncio.get_running_loop().time()
        await self._supervisor.until_ready(part, within_s=max(0.0, left_s))
        self._tell(f"{part.program.name} is ready")

    async def _given_ready(self, setting: str, probe: Probe) -> None:
        await until_ready(f"the server of {setting}", probe, within_s=_GIVEN_READY_WITHIN_S)
        self._tell(f"the server of {setting} answers")

    def _describe(self, states: dict[str, State]) -> None:
        addresses = self._plan.addresses
        RunFile(
            url=self.url,
            pids=_pids(self._parts, states),
            amqp_url=addresses.amqp_url,
            amqp_management_url=addresses.amqp_management_url,
            redis_url=addresses.redis_url,
            db_url=addresses.db_url,
            model_url=addresses.model_url,
            pipedrive_url=addresses.simulated_crm_url,
        ).write(self._data_dir)


def _pids(parts: list[Part], states: dict[str, State]) -> Pids:
    pids: dict[str, int | list[int] | None] = {}
    workers: list[int] = []
    for part in parts:
        pid = states[part.program.name].pid or None
        if part.name == CHAT_WORKER:
            pids[part.name] = workers
            if pid:
                workers.append(pid)
        else:
            pids[part.name] = pid
    return pids
