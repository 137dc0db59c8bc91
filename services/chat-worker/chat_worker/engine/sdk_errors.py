"""From the SDK's errors to what may be done about them."""

import math
import re
from collections.abc import Iterator

import aiohttp
import httpx2
from openai import APIStatusError

from chat_worker.engine.interface import (
    InputTooLong,
    ModelError,
    ProviderAmbiguous,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
)
from chat_worker.engine.provider_errors import DOWN, REJECTED, TOO_LONG, error_of_status

# The layers above aiohttp call every lost connection a timeout of connecting, so only its own errors tell.
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_CANNOT_BE_WRITTEN = (httpx2.UnsupportedProtocol, ValueError)
_GATEWAY_TIMEOUTS = frozenset({504, 524})
_PLAIN_CODE = re.compile(r"[\w.-]{1,64}")


def model_error(error: Exception, *, repeatable: bool, missing: ProviderError | None = None) -> ModelError:
    """Translate an error from before the answer began.

    `repeatable` says that sending the call twice does no harm, so no outcome of it is ambiguous.
    `missing` is what a 400 or 404 means for calls that ask for something stored.
    """
    if isinstance(error, APIStatusError):
        return _of_status(error, repeatable=repeatable, missing=missing)
    causes = list(_causes(error))
    if any(isinstance(cause, _CANNOT_BE_WRITTEN) for cause in causes):
        return ProviderRefused(REJECTED)
    if repeatable or any(isinstance(cause, _NEVER_SENT) for cause in causes):
        return ProviderBusy(DOWN)
    return ProviderAmbiguous(type(causes[-1]).__name__)


def provider_code(error: Exception) -> str | None:
    """Return the provider's code if it looks like one. Its message is never looked at: it may echo a key."""
    if not isinstance(error, APIStatusError):
        return None
    for code in (error.code, error.type):
        if code and _PLAIN_CODE.fullmatch(code):
            return code
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _of_status(error: APIStatusError, *, repeatable: bool, missing: ProviderError | None) -> ModelError:
    if missing is not None and error.status_code in (400, 404):
        return ProviderRefused(missing)
    if error.status_code in _GATEWAY_TIMEOUTS and not repeatable:
        return ProviderAmbiguous(f"status_{error.status_code}")
    known = error_of_status(error.status_code, provider_code(error))
    if known.retryable:
        return ProviderBusy(known, retry_after_s=_retry_after_s(error.response.headers))
    return InputTooLong(known) if known is TOO_LONG else ProviderRefused(known)


def _retry_after_s(headers: httpx2.Headers) -> float | None:
    """Read how long to wait; a date, which providers of models do not send, counts as nothing said."""
    for name, per_s in (("retry-after-ms", 1_000), ("retry-after", 1)):
        try:
            wait_s = float(headers.get(name, "")) / per_s
        except ValueError:
            continue
        if math.isfinite(wait_s) and wait_s >= 0:
            return wait_s
    return None
