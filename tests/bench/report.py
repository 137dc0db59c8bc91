"""The results as text."""

from collections.abc import Sequence

from bench.dashboard import DashboardTimes
from bench.figures import Latency
from bench.product import TOKENS_PER_S
from bench.results import Results
from bench.streams import BROKERS, OURS, FirstToken

_NAMES = {"amqp": "RabbitMQ", "redis": "Redis", "db": "database"}


def report(results: Results) -> str:
    parts = (_machine, _first_tokens, _cpu, _holds, _settled, _operations, _quotas, _dashboard, _goals)
    return "\n\n".join("\n".join(part(results)) for part in parts)


def _machine(results: Results) -> list[str]:
    machine = results.machine
    servers = ", ".join(f"{name} {version}" for name, version in machine.servers.items())
    before, after = results.loads
    return [
        f"{machine.cpus} CPUs, load {before:.1f} before and {after:.1f} after, {results.took_s:.0f} s in all",
        f"{servers}; Python {machine.python}, openai {machine.openai}",
    ]


def _first_tokens(results: Results) -> list[str]:
    rows = [_first_token(f"{found.streams}", found) for found in results.first_tokens]
    rows.append(_first_token(f"{results.burst.streams} at once", results.burst))
    return [
        f"Time to first token, p50 / p99, streams at {TOKENS_PER_S:.0f} tokens/s",
        *table(["streams", "answers of", "provider itself", "through the product", "added"], rows),
    ]


def _first_token(name: str, found: FirstToken) -> list[str]:
    added = f"{found.added_ms:+.1f} / {found.product.p99_ms - found.direct.p99_ms:+.1f} ms"
    return [name, f"{found.tokens} tokens", str(found.direct), str(found.product), added]


def _cpu(results: Results) -> list[str]:
    cpu = results.cpu
    names = (*OURS, *BROKERS, "db")
    rows = [
        [
            _NAMES.get(name, name),
            f"{cpu.used_s[name] / cpu.tokens * 1e6:.0f} µs",
            f"{cpu.per_s([name]):,.0f}",
            "",
        ]
        for name in names
        if cpu.used_s[name]
    ]
    for name, own in (("our processes", OURS), ("… with RabbitMQ and Redis", (*OURS, *BROKERS))):
        per_s = cpu.per_s(own)
        rows.append([name, f"{1e6 / per_s:.0f} µs", f"{per_s:,.0f}", f"{per_s / cpu.sdk_per_s:.2f}"])
    rows.append(["openai SDK alone", f"{1e6 / cpu.sdk_per_s:.0f} µs", f"{cpu.sdk_per_s:,.0f}", "1.00"])
    return [
        f"CPU at {cpu.streams} streams, from the first message to the last settlement",
        *table(["process", "a token", "tokens per CPU second", "of the SDK's"], rows),
    ]


def _holds(results: Results) -> list[str]:
    rows = [
        [
            str(found.in_flight),
            str(found.bare),
            str(found.hold),
            _ratio(found.hold, found.bare),
            f"{found.added_ms:+.1f} / {found.hold.p99_ms - found.bare.p99_ms:+.1f} ms",
            str(found.by_rpc),
        ]
        for found in results.holds
    ]
    return [
        "Holds, p50 / p99",
        *table(["in flight", "bare write", "hold", "ratio", "added", "by RPC"], rows),
    ]


def _ratio(one: Latency, other: Latency) -> str:
    return f"{one.p50_ms / other.p50_ms:.2f} / {one.p99_ms / other.p99_ms:.2f}"


def _settled(results: Results) -> list[str]:
    rows = [[str(found.batch), f"{found.per_s:,.0f}"] for found in results.settled]
    return ["Settlements", *table(["batch", "runs a second"], rows)]


def _operations(results: Results) -> list[str]:
    found = results.operations
    rows = [["no run", str(found.idle)]]
    rows += [[f"a run of {chunks:,} chunks", str(count)] for chunks, count in found.by_chunks.items()]
    return ["Operations of the database in the same time", *table(["", "operations"], rows)]


def _quotas(results: Results) -> list[str]:
    told = results.quotas
    return [f"From a quota in the CRM to the balance on an open page, p50 / p99 of {told.count}: {told}"]


def _dashboard(results: Results) -> list[str]:
    return dashboard_table(results.dashboard)


def dashboard_table(shown: DashboardTimes) -> list[str]:
    export = shown.export
    rows = [
        ["its rollups, read and no more", str(shown.bare)],
        ["usage of a month", str(shown.month)],
        ["the newest rows, a page", str(shown.first)],
        ["rows in the middle, a page", str(shown.middle)],
        ["the newest rows of a company, a page", str(shown.company)],
        [f"all {export.rows:,} rows as CSV", f"{export.took_s:.1f} s, {export.grew_mib:+.0f} MiB"],
    ]
    return [f"Dashboard over {shown.rows:,} rows of a year, p50 / p99", *table(["", "time"], rows)]


def _goals(results: Results) -> list[str]:
    rows = [[goal.name, goal.goal, goal.found, "yes" if goal.reached else "no"] for goal in results.goals()]
    return ["Goals", *table(["", "goal", "found", "reached"], rows)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: the first to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
