"""A private server that speaks MongoDB's wire protocol (secantusdb), as a replica set of one.

For development and tests only: it is a beta, and its licence keeps it out of images.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from embedded import probes
from embedded.part import Part
from embedded.ports import LOOPBACK
from embedded.program import Program, bare_environment

DATABASE = "chat"


def mongo(data_dir: Path, ports: Iterator[int]) -> Part:
    """Data stays in the directory from run to run."""
    port = next(ports)
    directory = data_dir / "mongo"
    directory.mkdir(parents=True, exist_ok=True)
    # Named but empty: no configuration of the machine is read.
    (directory / "secantusd.toml").write_text("", encoding="utf-8")
    # This server goes through all retryable writes of the last half hour at each new one, so that a write
    # costs ten times as much after some thousands.
    url = f"mongodb://{LOOPBACK}:{port}/{DATABASE}?directConnection=true&retryWrites=false"
    argv = (
        *(str(Path(sys.executable).parent / "secantusd-py"), "--host", LOOPBACK, "--port", str(port)),
        *("--config", str(directory / "secantusd.toml"), "--storage-path", str(directory / "data")),
        *("--cache-size", "256M", "--log-level", "WARNING"),
    )
    program = Program(name="mongo", argv=argv, env=bare_environment(directory), directory=directory)
    return Part(name="mongo", url=url, programs=(program,), probe=probes.mongo(url))
