"""`python -m gateway.dashboard.dead_letters`: queues and dead letters from the command line.

The same as in the dashboard, with the same line in the audit, by DB_URL, AMQP_URL and, for all that only the
broker itself knows of its queues, AMQP_MANAGEMENT_URL.
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
from gateway.dashboard.management import Age, open_management
from gateway.dashboard.operations import SET_ASIDE, LetterBox, Operations, QueueView, queue_of
from gateway.dashboard.operator_actions import OperatorActions
from gateway.settings import BrokerSettings

_FAILED = 1
_UNKNOWN = "-"
_COLUMNS = ("queue", "waiting", "in work", "oldest", "consumers", "in", "done", "again", "retries", "dead")
_RATE_MIN, _RATE_MAX = 0.5, 1_000


def main() -> None:
    options = _parser().parse_args()
    settings = read_settings(BrokerSettings)
    log.configure("gateway", level="WARNING")
    try:
        asyncio.run(_run(options, settings))
    except (AppError, PyMongoError, ConnectionError) as error:
        print(getattr(error, "detail", None) or type(error).__name__, file=sys.stderr)  # noqa: T201
        raise SystemExit(_FAILED) from None


async def _run(options: argparse.Namespace, settings: BrokerSettings) -> None:
    async with _opened(settings) as (letters, operations):
        if options.command == "status":
            await _status(operations)
            return
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
async def _opened(settings: BrokerSettings) -> AsyncGenerator[tuple[LetterBox, Operations]]:
    clock = SystemClock()
    db = mongo.connect(settings.db_url, service="gateway")
    url = settings.amqp_management_url
    async with (
        Broker(settings.amqp_url, service="gateway") as broker,
        open_management(url, amqp_url=settings.amqp_url, clock=clock) as management,
    ):
        letters = broker.dead_letters()
        yield letters, Operations(letters, management, OperatorActions(db, clock), clock)
    db.client.close()


async def _status(operations: Operations) -> None:
    """Print a line for each queue, and raise SystemExit when something could not be asked."""
    view = await operations.view()
    lines = [_COLUMNS, *(_cells(queue) for queue in view.queues)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *figures in lines:
        padded = (figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))
        print(name.ljust(widths[0]), *padded, sep="  ")  # noqa: T201
    for line in view.wrong:
        print(line, file=sys.stderr)  # noqa: T201
    if view.wrong:
        raise SystemExit(_FAILED)


def _cells(queue: QueueView) -> tuple[str, ...]:
    state, retries = queue.state, queue.retries
    if state is None:
        figures = (_UNKNOWN,) * 6
    else:
        rates = (state.published_per_s, state.acked_per_s, state.redelivered_per_s)
        counts = (state.ready, state.unacked, state.consumers)
        figures = (*map(str, counts), *(f"{rate:g}/s" for rate in rates))
    waiting = _UNKNOWN if retries is None else str(sum(retries.values()))
    return queue.name, *figures[:2], _age(queue.oldest_age), *figures[2:], waiting, str(queue.dead)


def _age(age: Age | None) -> str:
    if age is None:
        return _UNKNOWN
    return "over 1 h" if age.is_at_least else f"{age.seconds:.0f} s"


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
    commands.add_parser("status", help="how full the queues are, and how fast they move")
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
