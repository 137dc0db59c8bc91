"""Free ports on the loopback interface."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_768)
"""Below the ports of outgoing connections on Linux: a server started again finds its own free."""
_ours: set[int] = set()


def free_ports(among: Sequence[int] = _PORTS) -> Iterator[int]:
    """Yield ports that nobody listens on now, each once, and keep them as long as this process lives.

    No other process of this user gets them here meanwhile: a server needs seconds until it listens.
    """
    for port in random.SystemRandom().sample(among, k=len(among)):
        if is_free(port) and _keep(port):
            yield port


def is_free(port: int, address: str = LOOPBACK) -> bool:
    """Tell whether a server could listen there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def _keep(port: int) -> bool:
    if port in _ours:
        return False
    try:
        fcntl.lockf(_lock_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _ours.add(port)
    return True


@cache
def _lock_file() -> int:
    """Open the file whose bytes stand for ports. It stays open: closing it once would give all of them up."""
    path = Path(tempfile.gettempdir()) / f"chat-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
