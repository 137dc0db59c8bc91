"""`run.json`: how tools and tests find the parts of what runs. It exists while everything is ready."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

Pids = Mapping[str, int | Sequence[int] | None]
"""By part; None while it is being started again. Chat workers are a list of those that run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    url: str
    pids: Pids
    amqp_url: str
    amqp_management_url: str | None
    redis_url: str
    db_url: str
    model_url: str
    pipedrive_url: str | None
    """The simulator's; None when a real account is used."""

    def write(self, data_dir: Path) -> None:
        """Replace the file in one step, so that no reader sees half of it."""
        values = {name: getattr(self, name) for name in self.__slots__}
        path = _path(data_dir)
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        new.replace(path)

    @classmethod
    def read(cls, data_dir: Path) -> Self | None:
        """Return what runs on this data directory, or None."""
        try:
            values: dict[str, Any] = json.loads(_path(data_dir).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return cls(**{name: values[name] for name in cls.__slots__})


def remove(data_dir: Path) -> None:
    _path(data_dir).unlink(missing_ok=True)


def _path(data_dir: Path) -> Path:
    return data_dir / "run.json"
