"""A port that was given out is nobody else's until its server listens."""

import subprocess
import sys

from embedded.ports import free_ports, is_free

TAKEN_BY_ANOTHER = (
    "import sys; from embedded.ports import free_ports; print(list(free_ports([int(sys.argv[1])])))"
)


def free_to_another_process(port: int) -> bool:
    argv = [sys.executable, "-c", TAKEN_BY_ANOTHER, str(port)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip() != "[]"


def test_a_port_is_given_to_one_process_only():
    ports = free_ports()
    port = next(ports)
    assert is_free(port)
    assert not free_to_another_process(port)
    assert port not in [next(ports) for _ in range(20)]
    assert list(free_ports([port])) == []


def test_a_port_is_free_again_once_its_process_is_gone():
    port = next(port for port in range(19_000, 20_000) if is_free(port) and free_to_another_process(port))
    assert free_to_another_process(port)
