"""Which processes are ours, and their end.

Every process of a run carries the absolute path of its data directory in its environment, and so do
the children that it starts itself (Erlang's helpers). So none is missed, and none of another's is hit.
"""

from pathlib import Path

import psutil

MARK = "EMBEDDED_DATA_DIR"
_SUPERVISOR = "supervisor.supervisord"
_KILLED_WITHIN_S = 5.0


def mark_of(data_dir: Path) -> dict[str, str]:
    return {MARK: str(data_dir.resolve())}


def marked(data_dir: Path) -> list[psutil.Process]:
    """Return the live processes of this data directory, without the caller and those that started it."""
    path = str(data_dir.resolve())
    caller = psutil.Process()
    spared = {caller.pid, *(parent.pid for parent in caller.parents())}
    return [
        process for process in psutil.process_iter() if process.pid not in spared and _mark(process) == path
    ]


def end_marked(data_dir: Path, *, grace_s: float) -> int:
    """End what is left of a run, by force after `grace_s`; return how many processes there were."""
    left = marked(data_dir)
    for process in left:
        # First the one that would start the others again.
        if _is_supervisor(process):
            _signal(process, force=True)
    for process in left:
        _signal(process, force=False)
    _, alive = psutil.wait_procs(left, timeout=grace_s)
    # Looked up anew: what a dying supervisor still started is ours too.
    alive = [*alive, *marked(data_dir)]
    for process in alive:
        _signal(process, force=True)
    psutil.wait_procs(alive, timeout=_KILLED_WITHIN_S)
    return len(left)


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; one that has ended but was not waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _is_supervisor(process: psutil.Process) -> bool:
    try:
        return _SUPERVISOR in process.cmdline()
    except psutil.Error:
        return False


def _signal(process: psutil.Process, *, force: bool) -> None:
    try:
        if force:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        pass
