"""From the SDK's errors to what may be done about them."""

import math
import re

import httpx2
from openai import APIConnectionError, APIStatusError

from chat_worker.engine.interface import (
    ModelError,
    ProviderAmbiguous,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
)
from chat_worker.engine.provider_errors import DOWN, REJECTED, error_of_status

_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_CANNOT_BE_SENT = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)
_GATEWAY_TIMEOUTS = frozenset({504, 524})
_PLAIN_CODE = re.compile(r"[\w.-]{1,64}")


def model_error(error: Exception, *, repeatable: bool, missing: ProviderError | None = None) -> ModelError:
    """Translate an error from before the answer began.

    `repeatable` says that sending the call twice does no harm, so no outcome of it is ambiguous.
    `missing` is what a 400 or 404 means for calls that ask for something stored.
    """
    if isinstance(error, APIStatusError):
        return _of_status(error, repeatable=repeatable, missing=missing)
    cause = error.__cause__ if isinstance(error, APIConnectionError) else error
    if isinstance(cause, _CANNOT_BE_SENT):
        return ProviderRefused(REJECTED)
    if repeatable or isinstance(cause, _NEVER_SENT):
        return ProviderBusy(DOWN)
    return ProviderAmbiguous(type(cause).__name__)


def provider_code(error: Exception) -> str | None:
    """Return the provider's code if it looks like one. Its message is never looked at: it may echo a key."""
    if not isinstance(error, APIStatusError):
        return None
    for code in (error.code, error.type):
        if code and _PLAIN_CODE.fullmatch(code):
            return code
    return None


def _of_status(error: APIStatusError, *, repeatable: bool, missing: ProviderError | None) -> ModelError:
    if missing is not None and error.status_code in (400, 404):
        return ProviderRefused(missing)
    if error.status_code in _GATEWAY_TIMEOUTS and not repeatable:
        return ProviderAmbiguous(f"status_{error.status_code}")
    known = error_of_status(error.status_code, provider_code(error))
    if known.retryable:
        return ProviderBusy(known, retry_after_s=_retry_after_s(error.response.headers))
    return ProviderRefused(known)


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
