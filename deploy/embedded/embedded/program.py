"""One process to be run: what is started, with exactly which environment, and when it stops."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


class Tier(IntEnum):
    """Tiers start in this order and stop in the opposite one, so that a service can drain."""

    NAMES = 0
    SERVERS = 1
    SERVICES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """`env` is the whole environment: nothing is inherited behind its back.

    With `stop_as_group` SIGTERM goes to the children too. It must be off for Erlang, whose helper
    process ignores nothing: its death is a crash to the virtual machine, not a stop.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    directory: Path
    tier: Tier = Tier.SERVERS
    stop_wait_s: int = 20
    stop_as_group: bool = True


def bare_environment(home: Path) -> dict[str, str]:
    """Make the environment of a private server: it knows neither the user's settings nor their secrets."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {"HOME": str(home), "PYTHONUNBUFFERED": "1"}
