"""The place in a list that is sorted by time, then id: opaque to clients, harmless when forged.

A forged cursor moves within what its owner may see anyway, since the owner is part of every query.
"""

import base64
import binascii
import re
from datetime import UTC, datetime

from common.errors import Malformed

Place = tuple[datetime, str]
"""Where a page ended: time and id of its last row."""

_PLACE = re.compile(r"^([0-9]{1,14})\.([a-z]_[0-9a-f]{32})$")


def write_cursor(at: datetime, row_id: str) -> str:
    place = f"{round(at.timestamp() * 1000)}.{row_id}"
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> Place | None:
    """Raises Malformed for what no list has handed out."""
    if cursor is None:
        return None
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise _malformed() from None
    match = _PLACE.match(place)
    if match is None:
        raise _malformed()
    return datetime.fromtimestamp(int(match[1]) / 1000, UTC), match[2]


def _malformed() -> Malformed:
    return Malformed(
        "cursor: not one of ours", parameters=[{"in": "query", "name": "cursor", "reason": "not one of ours"}]
    )
