"""All that one run of the benchmark found, and the goals it is held against."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.dashboard import DashboardTimes
from bench.figures import Latency
from bench.ledger import Holds, Settled
from bench.machine import Machine
from bench.operations import CHUNKS, Operations
from bench.streams import OURS, FirstToken, TokenCpu

FIRST_TOKEN_ADDED_MS = 10.0
SDK_SHARE = 0.85
HOLD_ADDED_MS = 3.0
OPERATIONS_APART = 5
"""Polls and one more renewal of a lease, of which either run may have caught one more."""

MONTH_RATIO = 2.0
PAGE_RATIO = 2.0
QUOTA_MS = 2_000.0
EXPORT_MIB = 100.0


@dataclass(frozen=True, slots=True)
class Goal:
    name: str
    goal: str
    found: str
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """`loads` are the machine's load averages before and after; `took_s` is the whole run."""

    machine: Machine
    loads: tuple[float, float]
    took_s: float
    first_tokens: list[FirstToken]
    burst: FirstToken
    cpu: TokenCpu
    holds: list[Holds]
    settled: list[Settled]
    operations: Operations
    quotas: Latency
    dashboard: DashboardTimes

    def goals(self) -> list[Goal]:
        return [
            *self._first_token_goals(),
            self._cpu_goal(),
            *self._hold_goals(),
            self._operations_goal(),
            self._quota_goal(),
            *self._dashboard_goals(),
        ]

    def save(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        goals = [asdict(goal) for goal in self.goals()]
        path.write_text(json.dumps(asdict(self) | {"goals": goals}, indent=1) + "\n", encoding="utf-8")

    def _first_token_goals(self) -> list[Goal]:
        return [
            Goal(
                f"first token above the provider's, {found.streams} streams, p50",
                f"≤ {FIRST_TOKEN_ADDED_MS:.0f} ms",
                f"{found.added_ms:.1f} ms",
                found.added_ms <= FIRST_TOKEN_ADDED_MS,
            )
            for found in self.first_tokens
        ]

    def _cpu_goal(self) -> Goal:
        share = self.cpu.per_s(OURS) / self.cpu.sdk_per_s
        return Goal(
            "tokens per CPU second, of the SDK's alone",
            f"≥ {SDK_SHARE:.2f}",
            f"{share:.2f}",
            share >= SDK_SHARE,
        )

    def _hold_goals(self) -> list[Goal]:
        return [
            Goal(
                f"hold above the bare write, {found.in_flight} in flight, p50",
                f"≤ {HOLD_ADDED_MS:.0f} ms",
                f"{found.added_ms:.1f} ms",
                found.added_ms <= HOLD_ADDED_MS,
            )
            for found in self.holds
        ]

    def _operations_goal(self) -> Goal:
        few, many = (self.operations.by_chunks[chunks] for chunks in CHUNKS)
        return Goal(
            f"database operations of {CHUNKS[1]:,} chunks above those of {CHUNKS[0]}",
            "none but polls",
            f"{many - few:+d}",
            abs(many - few) <= OPERATIONS_APART,
        )

    def _quota_goal(self) -> Goal:
        return Goal(
            "a quota changed in the CRM on an open page, p50",
            f"≤ {QUOTA_MS:,.0f} ms",
            f"{self.quotas.p50_ms:.0f} ms",
            self.quotas.p50_ms <= QUOTA_MS,
        )

    def _dashboard_goals(self) -> list[Goal]:
        shown = self.dashboard
        return [
            _ratio_goal("the month, of a bare read of its rollups", shown.month_ratio, MONTH_RATIO),
            _ratio_goal("a page from the middle, of the first page", shown.page_ratio, PAGE_RATIO),
            Goal(
                f"memory for the export of {shown.rows:,} rows",
                f"≤ {EXPORT_MIB:.0f} MiB",
                f"{shown.export.grew_mib:.0f} MiB",
                shown.export.grew_mib <= EXPORT_MIB and shown.export.rows == shown.rows,
            ),
        ]


def _ratio_goal(name: str, found: float, goal: float) -> Goal:
    return Goal(name, f"≤ {goal:.1f}", f"{found:.2f}", found <= goal)
