"""`python -m pipedrive_sync` serves; `setup` makes fields and webhook; `doctor` says what is wrong."""

import argparse
import asyncio
import sys

from pymongo.errors import PyMongoError

from common.clock import SystemClock
from common.mongo.client import Database, connect
from common.service import read_settings, refuse, serve
from pipedrive_sync.bootstrap import SERVICE, start
from pipedrive_sync.commands.doctor import Doctor
from pipedrive_sync.commands.setup import Setup
from pipedrive_sync.jobs.supervise import SuperviseWebhook
from pipedrive_sync.loops import Waker
from pipedrive_sync.parts import build_client, open_http
from pipedrive_sync.pipedrive.client import PipedriveRefused
from pipedrive_sync.pipedrive.gate import PipedriveAway
from pipedrive_sync.pipedrive.known import Known
from pipedrive_sync.settings import Settings
from pipedrive_sync.store.stores import Stores

WELL, WRONG, COULD_NOT_RUN = 0, 1, 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pipedrive_sync", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("setup", help="make the fields and the webhook that are missing")
    commands.add_parser("doctor", help="say what is wrong; exit 1 if something is")
    command = parser.parse_args().command
    settings = read_settings(Settings)
    if command is None:
        serve(SERVICE, settings, lambda: start(settings))
        return WELL
    if command == "setup" and not settings.pipedrive_token:
        refuse("PIPEDRIVE_TOKEN must be set")
    db = connect(settings.db_url, service=SERVICE)
    try:
        return asyncio.run(_setup(settings, db) if command == "setup" else _doctor(settings, db))
    except PyMongoError as error:
        print(f"the database does not answer: {type(error).__name__}", file=sys.stderr)  # noqa: T201
        return COULD_NOT_RUN


async def _setup(settings: Settings, db: Database) -> int:
    clock = SystemClock()
    stores = Stores.on(db, clock, write_every=settings.write_every)
    wanted = settings.subscription
    async with open_http(settings) as http:
        client = build_client(settings, http, stores.cursors, clock)
        known = Known(stores.cursors, settings.field_names, can_ask=True)
        supervise = SuperviseWebhook(client, wanted, reconcile=Waker()) if wanted else None
        try:
            async for line in Setup(client, known, settings.field_names, supervise).run():
                print(line)  # noqa: T201
        except (PipedriveAway, PipedriveRefused) as error:
            print(f"Stopped: {error}", file=sys.stderr)  # noqa: T201
            return WRONG
    return WELL


async def _doctor(settings: Settings, db: Database) -> int:
    clock = SystemClock()
    stores = Stores.on(db, clock, write_every=settings.write_every)
    is_well = True
    async with open_http(settings) as http:
        client = build_client(settings, http, stores.cursors, clock) if settings.pipedrive_token else None
        if client is not None:
            await client.gate.load()
        async for finding in Doctor(settings, db, stores, clock, client=client).run():
            is_well = is_well and finding.is_well
            print(f"{'well ' if finding.is_well else 'WRONG'}  {finding.what}")  # noqa: T201
    return WELL if is_well else WRONG


if __name__ == "__main__":
    sys.exit(main())
