"""Parameters that several routes share: checked for their shape before any query sees them."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

_ID = "^[{prefixes}]_[0-9a-f]{{32}}$"
THREAD_ID_PATTERN = _ID.format(prefixes="t")
MESSAGE_ID_PATTERN = _ID.format(prefixes="mn")
SENT_ID_PATTERN = _ID.format(prefixes="m")
RUN_ID_PATTERN = _ID.format(prefixes="r")
FILE_ID_PATTERN = _ID.format(prefixes="f")

PAGE_ROWS_MAX = 200
PAGE_ROWS = 50
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

ThreadIdInPath = Annotated[str, Path(pattern=THREAD_ID_PATTERN)]
MessageIdInPath = Annotated[str, Path(pattern=MESSAGE_ID_PATTERN)]
RunIdInPath = Annotated[str, Path(pattern=RUN_ID_PATTERN)]
PageLimit = Annotated[int, Query(ge=1, le=PAGE_ROWS_MAX)]
PageCursor = Annotated[str | None, Query(max_length=200)]


def _says_something(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must say something")
    return text.strip()


SAYS_SOMETHING = AfterValidator(_says_something)


class Body(BaseModel):
    """Base of every request body: exact types, and nothing that was not asked for."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
