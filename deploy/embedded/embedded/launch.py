"""Becomes the program that a file describes: `python -m embedded.launch FILE`.

The file, readable by its owner only, keeps arguments and secrets out of the supervisor's
configuration, whose quoting cannot carry every value, and out of the list of processes.
"""

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from embedded.program import Program


def write(program: Program, path: Path, *, mark: dict[str, str]) -> None:
    """Describe the program in a file. `mark` is added to its environment."""
    described = {
        "argv": program.argv,
        "env": {**program.env, **mark},
        "directory": str(program.directory),
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(described), encoding="utf-8")


def become(path: Path) -> NoReturn:
    described = json.loads(path.read_text(encoding="utf-8"))
    os.chdir(described["directory"])
    os.execvpe(described["argv"][0], described["argv"], described["env"])  # noqa: S606


if __name__ == "__main__":
    become(Path(sys.argv[1]))
