"""`python -m gateway.contract DIR`: write the OpenAPI description of the gateway into a folder."""

import json
import sys
from pathlib import Path

from gateway.app import api_description

NAME = "gateway.json"


def snapshot() -> str:
    """Return the description as it is kept: sorted, so that a difference is a change."""
    return json.dumps(api_description(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) / NAME).write_text(snapshot(), encoding="utf-8")
