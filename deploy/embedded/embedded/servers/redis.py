"""A private Redis. It keeps nothing on disk: Redis holds only what may vanish."""

from collections.abc import Iterator
from pathlib import Path

from embedded import probes
from embedded.part import Part
from embedded.ports import LOOPBACK
from embedded.program import Program, bare_environment
from embedded.servers.executable import executable


def redis(data_dir: Path, ports: Iterator[int]) -> Part:
    port = next(ports)
    directory = data_dir / "redis"
    directory.mkdir(parents=True, exist_ok=True)
    url = f"redis://{LOOPBACK}:{port}/0"
    argv = (
        *(executable("redis-server", package="redis-server"), "--bind", LOOPBACK, "--port", str(port)),
        *("--daemonize", "no", "--save", "", "--appendonly", "no", "--dir", str(directory)),
        # Its title would be written over the environment, by which we know our processes.
        *("--set-proc-title", "no"),
        *("--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"),
    )
    program = Program(name="redis", argv=argv, env=bare_environment(directory), directory=directory)
    return Part(name="redis", url=url, programs=(program,), probe=probes.redis(url))
