"""What a failed write means, and the loop that every change of an account goes through."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from pymongo.errors import BulkWriteError, ConnectionFailure, PyMongoError, WTimeoutError

from common.errors import Unavailable

_WRITE_CONFLICT = 112
_DUPLICATE_KEY = 11000
_INTERRUPTED = 11601
_ATTEMPTS_MAX = 25
_PAUSE_S = 0.005
_PAUSE_MAX_S = 0.25

T = TypeVar("T")


class Outdated(Exception):
    """What was read has changed before the write; nothing was written."""


class Contended(Unavailable):
    """Others changed the same accounts all the time."""


def is_away(error: Exception) -> bool:
    """Tell whether the database does not answer: then it is of no use to try less at once."""
    return isinstance(error, Unavailable) and not isinstance(error, Contended)


@contextmanager
def translated() -> Generator[None]:
    """Turn the driver's errors into Outdated, Unavailable, or what they are (a bug)."""
    try:
        yield
    except PyMongoError as error:
        if _is_conflict(error):
            raise Outdated from error
        if _is_transient(error):
            raise Unavailable("The ledger's database does not answer") from error
        raise


async def until_current(change: Callable[[], Awaitable[T]]) -> T:
    """Read, decide and write, again and again until nothing that was read changed meanwhile."""
    for attempt in range(_ATTEMPTS_MAX):
        try:
            with translated():
                return await change()
        except Outdated:
            pause_s = min(_PAUSE_MAX_S, _PAUSE_S * 2**attempt)
            await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311 - spreads the next tries
    raise Contended(retry_after_s=1)


def _is_conflict(error: PyMongoError) -> bool:
    codes = {getattr(error, "code", None)}
    if isinstance(error, BulkWriteError):
        details = cast(dict[str, Any], error.details)
        codes |= {item["code"] for item in details.get("writeErrors", ())}
    # A duplicate key means that someone else has booked the same cause, and the next read finds it;
    # interrupted, that another writer was kept out and ended our transaction (see `store.writer`).
    if codes & {_WRITE_CONFLICT, _DUPLICATE_KEY, _INTERRUPTED}:
        return True
    return error.has_error_label("TransientTransactionError")


def _is_transient(error: PyMongoError) -> bool:
    return (
        isinstance(error, ConnectionFailure | WTimeoutError)
        or error.timeout
        or error.has_error_label("RetryableWriteError")
        or error.has_error_label("UnknownTransactionCommitResult")
    )
