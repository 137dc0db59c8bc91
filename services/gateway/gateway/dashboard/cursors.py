"""Where a page ended: opaque to clients, harmless when forged, since operators may see all of it. Pure."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

import orjson

from common.errors import Malformed
from gateway.dashboard.ranges import malformed

Scalar = str | int | datetime

_MILLISECONDS = range(946_684_800_000, 4_200_000_000_000)
"""From the year 2000 on: what the partial indexes of these lists hold."""

_INT64 = range(-(2**63), 2**63)


def write_cursor(order: str, value: Scalar, row_id: str) -> str:
    """Name the last row of a page: in which order it was listed, by which value, and its id."""
    plain = round(value.timestamp() * 1000) if isinstance(value, datetime) else value
    return base64.urlsafe_b64encode(orjson.dumps([order, plain, row_id])).decode().rstrip("=")


def read_cursor(cursor: str | None, order: str, value_type: type[Scalar]) -> tuple[Any, str] | None:
    """Return value and id. Raises Malformed for what this list has not handed out in this order."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found = orjson.loads(text)
    except (binascii.Error, ValueError):
        raise _not_ours() from None
    match found:
        case [str(known), str() | int() as value, str(row_id)] if known == order:
            return _value(value, value_type), row_id
        case _:
            raise _not_ours()


def _value(value: str | int, value_type: type[Scalar]) -> Scalar:
    if value_type is not datetime:
        if type(value) is not value_type or (isinstance(value, int) and value not in _INT64):
            raise _not_ours()
        return value
    if type(value) is not int or value not in _MILLISECONDS:
        raise _not_ours()
    return datetime.fromtimestamp(value / 1000, UTC)


def _not_ours() -> Malformed:
    return malformed("cursor", "not one of this list")
