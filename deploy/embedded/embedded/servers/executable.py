"""Finds programs that come with the system."""

from pathlib import Path
from shutil import which

from embedded.probes import PartFailed

_FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Beyond PATH. Debian's `rabbitmq-server` on PATH insists on the system's user, the one here does not."""


def executable(name: str, *, package: str) -> str:
    """Return the path of the program. Raises PartFailed with the command that installs it."""
    for folder in _FOLDERS:
        if (path := Path(folder, name)).exists():
            return str(path)
    found = which(name)
    if found is None:
        raise PartFailed(f"{name} is missing; install it: sudo apt-get install {package}")
    return found
