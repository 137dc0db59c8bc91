"""Structured logs, one JSON object a line. Secrets and message texts never get in.

A log line names ids, codes and counts. As a net below that rule, keys that carry secrets or texts are
blanked wherever they turn up, and so is the query of any URL.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

import structlog

_BLANK = "[redacted]"
_SECRET_KEYS = frozenset(
    {
        "s",
        "m",
        "text",
        "token",
        "password",
        "secret",
        "authorization",
        "cookie",
        "api_key",
        "instructions",
        "input",
    }
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"\?[^\s\"']*")
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")


def configure(service: str, *, level: str = "INFO") -> None:
    """Send structlog and the standard library's loggers to stderr in the same shape."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # The library reports every lost connection with a stack; ours says it in one line.
    for noisy in ("aio_pika", "aiormq"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def get_logger() -> structlog.typing.FilteringBoundLogger:
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger())


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank what must not be written, at any depth."""
    for key, value in event.items():
        event[key] = _BLANK if key.lower() in _SECRET_KEYS else _clean(value)
    return event


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _JWT.sub(_BLANK, _QUERY.sub("?" + _BLANK, _CREDENTIALS.sub(_BLANK + "@", value)))
    if isinstance(value, Mapping):
        mapping = cast(Mapping[str, Any], value)
        return {k: _BLANK if k.lower() in _SECRET_KEYS else _clean(v) for k, v in mapping.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in cast(list[Any], value)]
    return value
