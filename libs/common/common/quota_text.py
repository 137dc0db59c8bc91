"""How a quota is written where people and forms write it, read strictly.

    empty, or blanks only      nothing: the field was cleared
    50000, 50000.00            digits; a fraction of one or two zeros is allowed
    50 000, 50,000, 50'000     groups of three, by one and the same separator: a space of any width, a
                               comma or an apostrophe; 50,000.00 too

All else is refused with the reason, never guessed: a fraction (50.5), a sign, an exponent, a currency,
groups that are not of three (5,00), two kinds of separator, and 50.000, which is fifty in one country and
fifty thousand in the next.
"""

import re
from typing import Literal

QUOTA_MAX = 2**53
"""Above this a figure is a mistake, and neither a CRM's number field nor JavaScript could hold it."""

Problem = Literal["not_a_number", "negative", "not_whole", "too_large", "ambiguous"]

_SPACES = " \u00a0\u2007\u2009\u202f"
_PLAIN = re.compile(r"[0-9]{1,20}(\.0{1,2})?")
_GROUPED = re.compile(rf"[0-9]{{1,3}}(?:([{_SPACES},'\u2019])[0-9]{{3}})(?:\1[0-9]{{3}}){{0,5}}(\.0{{1,2}})?")
_NEGATIVE = re.compile(rf"[-\u2212]\s*[0-9][0-9{_SPACES},.'\u2019]*")
_FRACTION = re.compile(r"[0-9]+\.[0-9]+")
_THREE_AFTER_POINT = re.compile(r"[0-9]{1,3}(\.[0-9]{3})+")


class NotAQuota(ValueError):
    """The value cannot be a quota; `problem` says why in one word."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem: Problem = problem


def read_quota(value: object) -> int | None:
    """Read a number, or a text that a person wrote. None is a cleared field. Raises NotAQuota."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise NotAQuota("not_a_number")
    if isinstance(value, str):
        return _read_text(value.strip())
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        raise NotAQuota("not_a_number")
    if value < 0:
        raise NotAQuota("negative")
    if value > QUOTA_MAX:
        raise NotAQuota("too_large")
    if value != int(value):
        raise NotAQuota("not_whole")
    return int(value)


def _read_text(text: str) -> int | None:
    if not text:
        return None
    if not (_PLAIN.fullmatch(text) or _GROUPED.fullmatch(text)):
        raise NotAQuota(_problem_of(text))
    quota = int(re.sub(r"\D", "", text.partition(".")[0]))
    if quota > QUOTA_MAX:
        raise NotAQuota("too_large")
    return quota


def _problem_of(text: str) -> Problem:
    if _NEGATIVE.fullmatch(text):
        return "negative"
    if _THREE_AFTER_POINT.fullmatch(text):
        return "ambiguous"
    if _FRACTION.fullmatch(text):
        return "not_whole"
    return "too_large" if re.fullmatch(r"[0-9]+", text) else "not_a_number"
