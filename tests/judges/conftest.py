"""Independent judges: Prism with Pipedrive's own description of its API, and Pipedrive's own npm client."""

import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from simulators.pipedrive.simulator import TOKEN
from support.judges import PRISM, Judged, node
from support.processes import free_port, python, running

_UNTYPED_NULL = re.compile(
    r"^( +)next_cursor:\n((?:\1 +.*\n)*?)(\1 +)type: string\n(?!\3nullable)", re.MULTILINE
)


@pytest.fixture(scope="session")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pipedrive's OpenAPI v2, corrected: it says that the last cursor is null, and types it as text."""
    given = os.environ.get("PIPEDRIVE_OPENAPI")
    assert given, (
        "PIPEDRIVE_OPENAPI must name Pipedrive's openapi-v2.yaml (developers.pipedrive.com/docs/api/v1)"
    )
    text = Path(given).read_text(encoding="utf-8")
    corrected = tmp_path_factory.mktemp("prism") / "openapi-v2.yaml"
    corrected.write_text(_UNTYPED_NULL.sub(r"\1next_cursor:\n\2\3type: string\n\3nullable: true\n", text))
    return corrected


@pytest.fixture(scope="session")
async def judged(description: Path) -> AsyncGenerator[Judged]:
    """A simulator of its own, and Prism as a proxy that turns every deviation into an error."""
    assert PRISM.exists(), "the judges are not installed: run `make judges`"
    port, prism_port = free_port(), free_port()
    simulator_url = f"http://127.0.0.1:{port}"
    command = [node(), str(PRISM), "proxy", "--errors", str(description), f"{simulator_url}/api/v2"]
    async with (
        running(
            "pipedrive-simulator",
            python(
                "simulators.pipedrive", "--port", str(port), "--burst", "1000", "--daily-tokens", "1000000"
            ),
            port=port,
        ),
        running("prism", [*command, "--port", str(prism_port)], port=prism_port),
    ):
        yield Judged(simulator_url, f"http://127.0.0.1:{prism_port}")


@pytest.fixture
async def control(judged: Judged) -> AsyncGenerator[httpx.AsyncClient]:
    """The simulator's own controls."""
    async with httpx.AsyncClient(
        base_url=judged.simulator_url, headers={"x-api-token": TOKEN}, timeout=30
    ) as client:
        yield client
