"""Free ports on the loopback interface."""

import random
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_768)
"""Below the ports of outgoing connections on Linux: a server started again finds its own free."""


def free_ports() -> Iterator[int]:
    """Yield ports that nobody listens on now, each once."""
    for port in random.SystemRandom().sample(_PORTS, k=len(_PORTS)):
        if is_free(port):
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
