"""What a notification means, whichever way it came."""

from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from common.quota_text import NotAQuota, Problem, read_quota

_SHOWN_CHARACTERS_MAX = 40
_AHEAD_MAX = timedelta(minutes=1)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Version(_Value):
    """Orders what is said about one quota. The later time counts, then the greater event."""

    at: datetime
    event: str

    @property
    def place(self) -> tuple[datetime, str]:
        return self.at, self.event


class Quota(_Value):
    kind: Literal["quota"] = "quota"
    tokens: int


class Cleared(_Value):
    """The field is empty."""

    kind: Literal["cleared"] = "cleared"


class Unusable(_Value):
    """The field has something that is no quota. `text` is its start, for the operator."""

    kind: Literal["unusable"] = "unusable"
    problem: Problem
    text: str


Wanted = Quota | Cleared | Unusable


def wanted_of(value: object) -> Wanted:
    """Read the value of the quota field, a number or a text."""
    try:
        tokens = read_quota(value)
    except NotAQuota as refused:
        return Unusable(problem=refused.problem, text=str(value)[:_SHOWN_CHARACTERS_MAX])
    return Cleared() if tokens is None else Quota(tokens=tokens)


def shown(wanted: Wanted) -> str:
    """Write a value for a person to read."""
    match wanted:
        case Quota(tokens=tokens):
            return str(tokens)
        case Cleared():
            return ""
        case Unusable(text=text):
            return text


class Subject(_Value):
    """Whose quota it is, as far as the notification says. `user_ref` is a user id of the product."""

    person_id: int | None = None
    user_ref: str | None = None
    emails: tuple[str, ...] = ()
    name: str | None = None

    @property
    def key(self) -> str:
        """Name the subject: what is said about one is one row of the waiting list."""
        return f"person:{self.person_id}" if self.person_id is not None else f"user:{self.user_ref}"


Source = Literal["webhook", "tokens", "reading", "operator"]
"""`reading` is what we read in Pipedrive ourselves; `operator` has looked at it. Both are believed."""


class QuotaNotice(_Value):
    """Somebody's quota was set. `inbox_id` is the row that says so, None when we read it ourselves.

    `read_by` is the key by which a reading looked for the quota, None for everything else.
    """

    kind: Literal["quota"] = "quota"
    subject: Subject
    wanted: Wanted
    version: Version
    source: Source
    actor: str
    reason: str
    inbox_id: str | None = None
    read_by: str | None = None

    @property
    def is_believed(self) -> bool:
        return self.source in {"reading", "operator"}

    def believed(self, *, source: Source, actor: str) -> Self:
        return self.model_copy(update={"source": source, "actor": actor})


class PersonGone(_Value):
    """A person was deleted; merged into another one if `into` is given."""

    kind: Literal["gone"] = "gone"
    person_id: int
    into: int | None
    version: Version
    actor: str

    @property
    def last_word(self) -> Version:
        """The version of what follows from it: behind whatever else was said of the person in that moment."""
        return Version(at=self.version.at, event=f"~{self.version.event}")


class FiguresTouched(_Value):
    """Somebody else wrote our figures of a person; they are to be written again."""

    kind: Literal["touched"] = "touched"
    person_id: int


class Ignored(_Value):
    """Nothing to do with us, or our own echo."""

    kind: Literal["ignored"] = "ignored"
    why: str


class Rejected(_Value):
    """It says something that must not be believed or cannot be read."""

    kind: Literal["rejected"] = "rejected"
    why: str


Notice = QuotaNotice | PersonGone | FiguresTouched | Ignored | Rejected


def read_time(value: object) -> datetime | None:
    """Read an ISO time or seconds since 1970, as number or text; None for anything else. UTC if unsaid."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(float(value))
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return _from_epoch(float(text))
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        # The second: the first hours of year 1 and the last of 9999 have no time in UTC.
        return None
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def not_ahead(at: datetime, received_at: datetime) -> datetime:
    """Bound a time that somebody says: one far ahead would shut out all that comes after it."""
    return min(at, received_at + _AHEAD_MAX)


def _from_epoch(seconds: float) -> datetime | None:
    # Beyond this a time in milliseconds is meant, or nonsense.
    if not 0 < seconds < 100_000_000_000:
        return None
    return datetime.fromtimestamp(seconds, UTC)
