"""What an answer of Pipedrive's API means for what is sent next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

AnswerKind = Literal[
    "ok",
    "burst",  # too fast: wait, then the same again
    "daily",  # the day's budget is gone: nothing until midnight
    "blocked",  # the CDN has had enough: nothing for half an hour
    "unauthorized",  # the token is no longer good
    "not_found",
    "forbidden",  # not for us: this record only
    "refused",  # we asked for something wrong
    "broken",  # their side: the same may work later
]

_WAIT_DEFAULT_S = 2.0
_WAIT_MAX_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`wait_s` is set for `burst` only. `body` is what came, `says` a short text for a log."""

    kind: AnswerKind
    status: int
    body: Any = None
    wait_s: float = 0.0

    @property
    def says(self) -> str:
        error = cast(dict[str, Any], self.body).get("error") if isinstance(self.body, dict) else None
        return f"HTTP {self.status} {str(error)[:120] if error else self.kind}"


def read_answer(status: int, headers: Mapping[str, str], body: Any) -> Answer:
    """Tell kinds of answers apart. `body` is the decoded JSON; None when it is no JSON, or null."""
    kind: AnswerKind
    match status:
        case 429:
            kind = "daily" if headers.get("x-daily-ratelimit-token-remaining") == "0" else "burst"
        case 401:
            kind = "unauthorized"
        case 403:
            kind = "forbidden" if isinstance(body, dict) else "blocked"
        case 404 | 410:
            # Only Pipedrive itself can say that something is gone; a page is of something on the way to it.
            kind = "not_found" if _is_refusal(body) else "broken"
        case _ if 200 <= status < 300:
            # A success without a body was seen in the wild: nobody knows whether anything was done.
            kind = "ok" if isinstance(body, dict) and not _is_refusal(body) else "broken"
        case _:
            kind = "refused" if 400 <= status < 500 else "broken"
    return Answer(kind=kind, status=status, body=body, wait_s=_wait_s(headers) if kind == "burst" else 0.0)


def number_in(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() else None


def _is_refusal(body: Any) -> bool:
    """Tell whether this is Pipedrive saying no: `success` is false, or in v1 also `status` is an error."""
    said = cast(dict[str, Any], body) if isinstance(body, dict) else {}
    return said.get("success") is False or said.get("status") == "error"


def _wait_s(headers: Mapping[str, str]) -> float:
    told = number_in(headers, "retry-after") or number_in(headers, "x-ratelimit-reset")
    return min(_WAIT_MAX_S, float(told)) if told else _WAIT_DEFAULT_S
