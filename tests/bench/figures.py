"""Latencies as two figures, and the CPU that processes have used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds. `count` is how many were measured."""

    p50_ms: float
    p99_ms: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        ordered = sorted(seconds)
        return cls(_at(ordered, 0.5) * 1000, _at(ordered, 0.99) * 1000, len(ordered))

    def __str__(self) -> str:
        return f"{self.p50_ms:.1f} / {self.p99_ms:.1f} ms"


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class CpuMeter:
    """CPU seconds (user and system) of named processes since the meter was made."""

    def __init__(self, pids: Mapping[str, Iterable[int]]) -> None:
        self._processes = {name: [psutil.Process(pid) for pid in own] for name, own in pids.items()}
        self._before = self._now()

    def used_s(self) -> dict[str, float]:
        return {name: now_s - self._before[name] for name, now_s in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {name: sum(map(_cpu_s, own)) for name, own in self._processes.items()}


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def listeners(url: str) -> list[int]:
    """Find the processes of this machine that listen on a URL's port; none if the server is elsewhere."""
    port = urlsplit(url).port
    return sorted(
        {
            found.pid
            for found in psutil.net_connections(kind="tcp")
            if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port and found.pid
        }
    )
