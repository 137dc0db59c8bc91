"""Errors: three families, one table.

A `Refused` is the business saying no; an `Unavailable` is the world being slow, worth another try;
a `Malformed` will never work. Anything else is a bug. Each edge translates families, not classes:
HTTP into problem+json with `status`, AMQP into ack, retry or dead letter.
"""

from typing import Any, ClassVar


class AppError(Exception):
    """Base of the table. `code` is stable snake_case, `detail` is for a person, `extra` is for a program."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str | None = None, *, retry_after_s: int | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_s = retry_after_s
        self.extra = extra


class Refused(AppError):
    """The business says no. Nothing changed."""

    code = "refused"
    status = 409
    title = "Not possible"


class Unavailable(AppError):
    """A dependency is away or slow. The outcome may be unknown; the same request id may be sent again."""

    code = "unavailable"
    status = 503
    title = "Not available right now, please try again"

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 5, **extra: Any) -> None:
        super().__init__(detail, retry_after_s=retry_after_s, **extra)


class ModelFailed(Unavailable):
    """What a model was to write for an operator was not written. What it used is booked all the same."""

    code = "model_failed"
    status = 500
    title = "The model did not write it"


class PublishFailed(Unavailable):
    """The broker did not take the message: it was returned or refused."""

    code = "publish_failed"
    title = "The message queue did not take the message"


class PublishUnknown(Unavailable):
    """No confirmation came in time. The message may still be delivered, now or later."""

    code = "publish_unknown"
    title = "The message queue did not answer in time"


class Malformed(AppError):
    """The input will never work."""

    code = "malformed"
    status = 400
    title = "The request is malformed"


class Unauthenticated(Refused):
    code = "unauthenticated"
    status = 401
    title = "Please sign in"


class Forbidden(Refused):
    code = "forbidden"
    status = 403
    title = "Not allowed"


class NotFound(Refused):
    """What is absent and what is another's get this same answer."""

    code = "not_found"
    status = 404
    title = "There is no such thing"


class MethodNotAllowed(Refused):
    code = "method_not_allowed"
    status = 405
    title = "This address does not work that way"


class ThreadBusy(Refused):
    code = "thread_busy"
    status = 409
    title = "The thread is still answering"


class Conflict(Refused):
    code = "conflict"
    status = 409
    title = "It changed in the meantime"


class IdReused(Refused):
    code = "id_reused"
    status = 409
    title = "This id was used for something else"


class TooLarge(Refused):
    code = "too_large"
    status = 413
    title = "Too large"


class UriTooLong(Refused):
    code = "uri_too_long"
    status = 414
    title = "The address is too long"


class InsufficientBalance(Refused):
    code = "insufficient_balance"
    status = 429
    title = "Not enough tokens"


class TooManyRuns(Refused):
    code = "too_many_runs"
    status = 429
    title = "Too many answers are being written at once"


class RateLimited(Refused):
    code = "rate_limited"
    status = 429
    title = "Too many requests"


class TooManyStreams(Refused):
    code = "too_many_streams"
    status = 429
    title = "Too many open streams"


class UnknownAccount(Refused):
    """Between services only: the gateway opens the account and asks again."""

    code = "unknown_account"
    status = 404
    title = "There is no such account"


def _family(root: type[AppError]) -> dict[str, type[AppError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _family(child)
    return found


TABLE: dict[str, type[AppError]] = _family(AppError)
"""Every error by its code; a reply over the queue carries the code and comes out as the same class."""
