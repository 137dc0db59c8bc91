"""`python -m common.events DIR`: write the JSON schema of every message into a folder."""

import sys
from pathlib import Path

from common.events.registry import snapshots

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    for name, schema in snapshots().items():
        (directory / name).write_text(schema, encoding="utf-8")
