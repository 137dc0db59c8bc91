"""Parameters of the dashboard's routes: every one has a shape and bounds before any query sees it."""

from typing import Annotated

import orjson
from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from gateway.context import services_of
from gateway.dashboard.ranges import Range, malformed, read_range
from gateway.parameters import PRINTABLE, SAYS_SOMETHING

COMPANY_CHARACTERS_MAX = 4_000
"""Sessions do not bound the id of a company, but a request's headers do."""

START_MAX = 1_000_000_000
_OPERATORS = "$[{"


async def refuse_operators(request: Request) -> None:
    """Refuse names such as `user[$gt]`: some frameworks make operators of the database of them."""
    for name in request.query_params:
        if any(character in name for character in _OPERATORS):
            raise malformed(name[:80], "not a parameter of this address")


def _is_text(text: str | None) -> str | None:
    if text is not None and text.lstrip().startswith(("{", "[")) and _is_json(text):
        raise PydanticCustomError("no_text", "must be plain text, not an object or a list")
    return text


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        # A name such as `[Acme]`.
        return False
    return True


_IS_TEXT = AfterValidator(_is_text)
PageStart = Annotated[int, Query(ge=0, le=START_MAX, description="rows to leave out")]
RowCursor = Annotated[str | None, Query(max_length=2_000, description="`next_cursor` of the page before")]
UserIdInPath = Annotated[str, Path(min_length=1, max_length=200, pattern=PRINTABLE), _IS_TEXT]
IdFilter = Annotated[str | None, Query(min_length=1, max_length=200, pattern=PRINTABLE), _IS_TEXT]
CompanyFilter = Annotated[
    str | None, Query(min_length=1, max_length=COMPANY_CHARACTERS_MAX, pattern=PRINTABLE), _IS_TEXT
]
SearchText = Annotated[str | None, Query(max_length=100, pattern=PRINTABLE), _IS_TEXT]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=PRINTABLE), SAYS_SOMETHING]

DateText = Annotated[str | None, Query(max_length=40, description="ISO 8601; a date is that whole day")]
ZoneName = Annotated[str, Query(max_length=64, description="IANA time zone, in which days are counted")]


async def _range(
    request: Request, date_from: DateText = None, date_to: DateText = None, tz: ZoneName = "UTC"
) -> Range:
    return read_range(date_from, date_to, tz, now=services_of(request).clock.now())


ReportRange = Annotated[Range, Depends(_range)]
