"""What a notification is called: the same one has the same id, however often it comes."""

import hashlib
import re
from typing import Any, cast

import orjson

from common.ids import new_id

_PLAIN = re.compile(r"[\w.:-]{1,80}", re.ASCII)
_ID_BYTES_MAX = 200
"""The id is the message id too, for which the queue has 255 bytes."""
_WITH_EVENT_IDS = frozenset({"person", "organization", "deal"})
"""Objects whose webhooks name the event. Those of a user name the user."""


def webhook_id(body: str) -> str:
    """Name a webhook by company and event. Retries, and doubled registrations, repeat both."""
    meta = _mapping(_read(body).get("meta"))
    parts = [str(meta.get(name, "")) for name in ("company_id", "id")]
    if str(meta.get("entity")) not in _WITH_EVENT_IDS:
        parts += [str(meta.get(name, "")) for name in ("entity", "action", "timestamp")]
    if meta.get("id") is None or not all(_PLAIN.fullmatch(part) for part in parts):
        return f"w:raw:{_digest(body)}"
    name = "w:" + ":".join(parts)
    return name if len(name) <= _ID_BYTES_MAX else f"w:long:{_digest(*parts)}"


def tokens_call_id(body: str, *, user_ref: str, quota_text: str) -> str:
    """Name a call of /int/tokens by its event id, or by its content if that has a time.

    Without either, the same call again may well be meant: since a quota is absolute, both are applied.
    """
    root = _read(body)
    details = _mapping(root.get("int", root))
    event_id = details.get("event_id")
    if isinstance(event_id, str | int) and event_id != "":
        name = str(event_id)
        return f"t:{name}" if _PLAIN.fullmatch(name) else f"t:long:{_digest(name)}"
    updated_at = details.get("updated_at")
    if not updated_at:
        return f"t:{new_id('q')}"
    return f"t:{_digest(user_ref, quota_text, str(details.get('person_id')), str(updated_at))}"


def _read(body: str) -> dict[str, Any]:
    try:
        return _mapping(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}


def _mapping(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:40]
