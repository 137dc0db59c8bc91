"""`python -m usage_ledger` serves; `python -m usage_ledger audit` checks the promises and ends."""

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime

import pymongo

from common.clock import SystemClock
from common.mongo.client import connect
from common.mongo.clock import DatabaseClock
from common.service import collect_rarely, read_settings, serve
from usage_ledger.audit.audit import Audit
from usage_ledger.bootstrap import start
from usage_ledger.settings import Settings

_REACHED_WITHIN_S = 5
CLEAN, VIOLATED, COULD_NOT_RUN = 0, 1, 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m usage_ledger")
    commands = parser.add_subparsers(dest="command")
    audit = commands.add_parser("audit", help="check the ledger's promises; exit 1 if one is broken")
    audit.add_argument("--json", action="store_true", help="one JSON object a line")
    scope = audit.add_mutually_exclusive_group()
    scope.add_argument("--account", help="check this user only")
    scope.add_argument(
        "--since", type=_time, help="check what came from this time on, such as 2026-11-22T18:00"
    )
    arguments = parser.parse_args()
    settings = read_settings(Settings)
    if arguments.command == "audit":
        return asyncio.run(_audit(settings, arguments))
    serve("usage-ledger", settings, lambda: start(settings))
    return CLEAN


async def _audit(settings: Settings, options: argparse.Namespace) -> int:
    db = connect(settings.db_url, service="usage-ledger-audit", timeout_ms=60_000)
    clock = DatabaseClock(db, SystemClock())
    as_json: bool = options.json
    collect_rarely()
    try:
        with pymongo.timeout(_REACHED_WITHIN_S):
            await clock.refresh()
        audit = Audit(db, clock, hold_ttl=settings.hold_ttl, account=options.account, since=options.since)
        async for violation in audit.run():
            fields = {"code": violation.code, "what": violation.what, "ids": violation.ids}
            ids = " ".join(f"{name}={value}" for name, value in violation.ids.items())
            print(json.dumps(fields) if as_json else f"{violation.code}  {violation.what}  ({ids})")  # noqa: T201
    except Exception as error:  # noqa: BLE001 - the edge: what cannot be read is not clean, and not checked
        print(f"the audit could not run: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return COULD_NOT_RUN
    counts = audit.counts
    looked_at = {"accounts": counts.accounts, "rows": counts.rows, "runs": counts.runs}
    summary = {"violations": counts.violations, **looked_at}
    print(json.dumps(summary) if as_json else ", ".join(f"{v} {k}" for k, v in summary.items()))  # noqa: T201
    return VIOLATED if counts.violations else CLEAN


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
