"""The simulator of Pipedrive, with a page to change a quota by hand, for when there is no account.

It belongs to the tests and is started by its name: nothing here imports it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from embedded import probes
from embedded.part import Part
from embedded.ports import LOOPBACK
from embedded.program import Program, bare_environment

TOKEN = "pipedrive-simulator-token"  # noqa: S105 - the simulator's own, worth nothing elsewhere
DEMO_EMAIL = "demo@example.com"
_TESTS = Path(__file__).parents[4] / "tests"


def pipedrive(data_dir: Path, ports: Iterator[int]) -> Part:
    """People, fields and webhooks stay in the directory from run to run."""
    port = next(ports)
    directory = data_dir / "pipedrive"
    directory.mkdir(parents=True, exist_ok=True)
    url = f"http://{LOOPBACK}:{port}"
    program = Program(
        name="pipedrive",
        argv=(
            *(sys.executable, "-P", "-m", "simulators.pipedrive", "--port", str(port)),
            *("--data", str(directory / "state.json"), "--person", f"Demo user <{DEMO_EMAIL}>"),
        ),
        env=bare_environment(directory) | {"PYTHONPATH": str(_TESTS)},
        directory=directory,
    )
    return Part(name="pipedrive", url=url, programs=(program,), probe=probes.http(f"{url}/_sim/deliveries"))
