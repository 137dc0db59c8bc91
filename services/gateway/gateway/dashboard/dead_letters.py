"""`python -m gateway.dashboard.dead_letters`: dead letters from the command line, by DB_URL and AMQP_URL.

The same as in the dashboard, with the same line in the audit.
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pymongo.errors import PyMongoError

from common import log
from common.amqp.broker import Broker
from common.amqp.dead_letters import LETTERS_MAX, PER_S, Letter
from common.clock import SystemClock, rfc3339
from common.errors import AppError
from common.mongo import client as mongo
from common.service import read_settings
from common.settings import CommonSettings
from gateway.dashboard.operations import SET_ASIDE, LetterBox, Operations, queue_of
from gateway.dashboard.operator_actions import OperatorActions

_FAILED = 1
_RATE_MIN, _RATE_MAX = 0.5, 1_000


def main() -> None:
    options = _parser().parse_args()
    settings = read_settings(CommonSettings)
    log.configure("gateway", level="WARNING")
    try:
        asyncio.run(_run(options, settings))
    except (AppError, PyMongoError, ConnectionError) as error:
        print(getattr(error, "detail", None) or type(error).__name__, file=sys.stderr)  # noqa: T201
        raise SystemExit(_FAILED) from None


async def _run(options: argparse.Namespace, settings: CommonSettings) -> None:
    async with _opened(settings) as (letters, operations):
        if options.command == "list":
            await _list(letters, options.queue)
            return
        if options.command == "show":
            await _show(letters, options.queue, options.id)
            return
        chosen = None if options.all else frozenset(options.id)
        actor: str = options.actor or f"command line: {getpass.getuser()}"
        dry_run: bool = options.dry_run
        if options.command == "replay":
            done, left = await operations.replay(
                options.queue, chosen, actor=actor, dry_run=dry_run, per_s=options.rate
            )
            what = "replayed"
        else:
            done, left = await operations.drop(
                options.queue, chosen, actor=actor, dry_run=dry_run, reason=options.reason
            )
            what = "dropped"
        _say(done, f"would be {what}" if dry_run else what, left)


@asynccontextmanager
async def _opened(settings: CommonSettings) -> AsyncGenerator[tuple[LetterBox, Operations]]:
    clock = SystemClock()
    db = mongo.connect(settings.db_url, service="gateway")
    async with Broker(settings.amqp_url, service="gateway") as broker:
        letters = broker.dead_letters()
        yield letters, Operations(letters, None, OperatorActions(db, clock), clock)
    db.client.close()


async def _list(letters: LetterBox, name: str | None) -> None:
    for queue in [queue_of(name)] if name else SET_ASIDE.values():
        print(f"{queue.name}: {await letters.depth(queue)}")  # noqa: T201
        for letter in await letters.look(queue, limit=LETTERS_MAX):
            print(f"  {_line(letter)}")  # noqa: T201


async def _show(letters: LetterBox, name: str, letter_id: str) -> None:
    for letter in await letters.look(queue_of(name), limit=LETTERS_MAX):
        if letter.id == letter_id:
            print(_line(letter))  # noqa: T201
            print(letter.body.decode(errors="replace"))  # noqa: T201


def _say(letters: list[Letter], what: str, left: int) -> None:
    for letter in letters:
        print(_line(letter))  # noqa: T201
    print(f"{len(letters)} {what}, {left} left")  # noqa: T201


def _line(letter: Letter) -> str:
    at = rfc3339(letter.at) if letter.at else "unknown time"
    return f"{letter.id}  {letter.type}  {at}  attempt {letter.attempts}  {letter.reason}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.dashboard.dead_letters", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="what was set aside, and why")
    listing.add_argument("queue", nargs="?")
    show = commands.add_parser("show", help="one letter with its body")
    show.add_argument("queue")
    show.add_argument("id")
    replay = commands.add_parser("replay", help="send letters to their queue again")
    replay.add_argument("--rate", type=_rate, default=PER_S, help="a second at most, by default %(default)g")
    drop = commands.add_parser("drop", help="throw letters away")
    drop.add_argument("--reason", type=_reason, required=True)
    for command in (replay, drop):
        command.add_argument("queue")
        which = command.add_mutually_exclusive_group(required=True)
        which.add_argument("--id", action="append", help="may come several times")
        which.add_argument("--all", action="store_true", help=f"the oldest {LETTERS_MAX:,}")
        command.add_argument("--dry-run", action="store_true", help="only say which")
        command.add_argument("--as", dest="actor", help="who does it, for the audit; by default the login")
    return parser


def _rate(text: str) -> float:
    rate = float(text)
    if not _RATE_MIN <= rate <= _RATE_MAX:
        raise argparse.ArgumentTypeError(f"must be {_RATE_MIN:g} to {_RATE_MAX:g}")
    return rate


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must say something")
    return text.strip()


if __name__ == "__main__":
    main()
