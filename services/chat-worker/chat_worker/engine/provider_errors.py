"""What goes wrong at the provider, in stable codes and our own words.

The provider's messages are never passed on: they may echo a key or a text.
"""

from chat_worker.engine.interface import ProviderError

BUSY = ProviderError(
    "provider_busy", "The model is busy right now. Please try again in a moment.", retryable=True
)
DOWN = ProviderError(
    "provider_down", "The model cannot be reached right now. Please try again.", retryable=True
)
FAILED = ProviderError("provider_failed", "The model ran into a problem. Please try again.", retryable=True)
TOO_LONG = ProviderError(
    "context_too_long", "This conversation has become too long. Please start a new one.", retryable=False
)
DECLINED = ProviderError("declined", "The model declined to answer this message.", retryable=False)
REJECTED = ProviderError("request_rejected", "The model could not accept this request.", retryable=False)
NOT_STREAMABLE = ProviderError("not_streamable", "This answer cannot be followed any more.", retryable=False)
FILE_GONE = ProviderError("file_gone", "The file is no longer available.", retryable=False)
FILE_TOO_LARGE = ProviderError("file_too_large", "The file is too large.", retryable=False)

_NOT_SET_UP = "The assistant is not available at the moment."
KEY_REJECTED = ProviderError("provider_key_rejected", _NOT_SET_UP, retryable=False)
QUOTA_EXHAUSTED = ProviderError("provider_quota_exhausted", _NOT_SET_UP, retryable=False)
MODEL_NOT_FOUND = ProviderError("model_not_found", _NOT_SET_UP, retryable=False)

_BY_CODE = {
    "rate_limit_exceeded": BUSY,
    "server_is_overloaded": BUSY,
    "context_length_exceeded": TOO_LONG,
    "string_above_max_length": TOO_LONG,
    "insufficient_quota": QUOTA_EXHAUSTED,
    "billing_hard_limit_reached": QUOTA_EXHAUSTED,
    "billing_not_active": QUOTA_EXHAUSTED,
    "invalid_api_key": KEY_REJECTED,
    "model_not_found": MODEL_NOT_FOUND,
    "invalid_prompt": DECLINED,
    "content_filter": DECLINED,
}


def error_of_code(code: str | None) -> ProviderError | None:
    """Translate a code of the provider that says enough by itself, else None."""
    if code is not None and "_policy" in code:
        return DECLINED
    return _BY_CODE.get(code or "")


def error_of_event(code: str | None) -> ProviderError:
    """Translate the code of a failed response. The set is open; what is unknown may work next time."""
    return error_of_code(code) or FAILED


def error_of_status(status: int, code: str | None) -> ProviderError:
    """Translate an answer with an HTTP status of 400 and above."""
    known = error_of_code(code)
    if known is not None:
        return known
    match status:
        case 401 | 403:
            return KEY_REJECTED
        case 404:
            return MODEL_NOT_FOUND
        case 413:
            return TOO_LONG
        case 408 | 409 | 429:
            return BUSY
        case _:
            return DOWN if status >= 500 else REJECTED
