"""`python -m usage_ledger` serves; with `audit` it checks the promises, with `rebuild` it mends rollups."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time

import pymongo

from common.clock import SystemClock
from common.mongo.client import Database, connect
from common.mongo.clock import DatabaseClock
from common.service import collect_rarely, read_settings, serve
from usage_ledger.audit.audit import Audit
from usage_ledger.bootstrap import start
from usage_ledger.settings import Settings
from usage_ledger.store.rebuild import Rebuild
from usage_ledger.store.writer import Writer

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
    rebuild = commands.add_parser("rebuild", help="make the rollups of days (UTC) anew from the rows")
    rebuild.add_argument("--from", dest="first", type=_day, help="the first day, such as 2026-11-01")
    rebuild.add_argument("--to", dest="last", type=_day, help="the last day")
    arguments = parser.parse_args()
    settings = read_settings(Settings)
    if arguments.command == "audit":
        return asyncio.run(_audit(settings, arguments))
    if arguments.command == "rebuild":
        return asyncio.run(_rebuild(settings, arguments))
    serve("usage-ledger", settings, lambda: start(settings))
    return CLEAN


async def _audit(settings: Settings, options: argparse.Namespace) -> int:
    as_json: bool = options.json
    try:
        async with _database(settings, "audit") as (db, clock):
            audit = Audit(db, clock, hold_ttl=settings.hold_ttl, account=options.account, since=options.since)
            async for violation in audit.run():
                fields = {"code": violation.code, "what": violation.what, "ids": violation.ids}
                ids = " ".join(f"{name}={value}" for name, value in violation.ids.items())
                _say(json.dumps(fields) if as_json else f"{violation.code}  {violation.what}  ({ids})")
    except Exception as error:  # noqa: BLE001 - the edge: what cannot be read is not clean, and not checked
        print(f"the audit could not run: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return COULD_NOT_RUN
    counts = audit.counts
    looked_at = {"accounts": counts.accounts, "rows": counts.rows, "runs": counts.runs}
    summary = {"violations": counts.violations, **looked_at}
    _say(json.dumps(summary) if as_json else ", ".join(f"{v} {k}" for k, v in summary.items()))
    return VIOLATED if counts.violations else CLEAN


async def _rebuild(settings: Settings, options: argparse.Namespace) -> int:
    days = rows = written = 0
    try:
        async with _database(settings, "rebuild") as (db, clock):
            writer = Writer(db, clock)
            try:
                async for done in Rebuild(db, writer).run(first=options.first, last=options.last):
                    _say(f"{done.day:%Y-%m-%d}  {done.rows} rows, {done.written} documents written")
                    days, rows, written = days + 1, rows + done.rows, written + done.written
            finally:
                await writer.close()
    except Exception as error:  # noqa: BLE001 - the edge: what is done is done, and a day is whole or as it was
        print(f"the rebuild stopped: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return COULD_NOT_RUN
    _say(f"{days} days, {rows} rows, {written} documents written")
    return CLEAN


@asynccontextmanager
async def _database(settings: Settings, command: str) -> AsyncGenerator[tuple[Database, DatabaseClock]]:
    """Reach the database in seconds, or raise PyMongoError; then be patient with it."""
    db = connect(settings.db_url, service=f"usage-ledger-{command}", timeout_ms=60_000)
    clock = DatabaseClock(db, SystemClock())
    collect_rarely()
    with pymongo.timeout(_REACHED_WITHIN_S):
        await clock.refresh()
    yield db, clock


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _day(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), time(), UTC)


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
