"""Headers for bytes that somebody else named. A browser saves them and never shows them as a page."""

import re
from urllib.parse import quote

_MEDIA_TYPE = re.compile(r"^[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,80}$")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\/:*?<>|]')
_NAME_CHARACTERS_MAX = 150


def safe_media_type(media_type: str) -> str:
    return media_type if _MEDIA_TYPE.match(media_type) else "application/octet-stream"


def content_disposition(name: str) -> str:
    """Write `attachment` with the name twice: plain for old clients, UTF-8 for the rest (RFC 6266)."""
    safe = _UNSAFE.sub("_", name).strip(". ")[:_NAME_CHARACTERS_MAX] or "file"
    plain = safe.encode("ascii", "replace").decode().replace("?", "_")
    encoded = quote(safe.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
