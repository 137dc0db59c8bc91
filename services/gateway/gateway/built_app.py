"""Serves the built app: hashed assets for ever, its page anew each time, all from memory.

The build lays a `.br` and a `.gz` beside each file; the browser gets the smallest that it takes.
"""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter, Request, Response

from common.errors import NotFound
from gateway.policy import PUBLIC

_ENCODINGS = {"br": ".br", "gzip": ".gz"}
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types app"
)


@dataclass(frozen=True, slots=True)
class AppFile:
    """One file in all its encodings; the plain one has the key `identity`."""

    media_type: str
    bodies: Mapping[str, bytes]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.bodies["identity"]).hexdigest()[:32]}"'

    def answer(self, request: Request) -> Response:
        headers = {**self.headers, "ETag": self.etag, "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        accepted = {
            item.split(";")[0].strip() for item in request.headers.get("accept-encoding", "").split(",")
        }
        encoding = next((name for name in _ENCODINGS if name in accepted and name in self.bodies), "identity")
        if encoding != "identity":
            headers["Content-Encoding"] = encoding
        return Response(self.bodies[encoding], headers=headers, media_type=self.media_type)


def app_router(directory: Path) -> APIRouter:
    """Read the built app and make its routes. Raises FileNotFoundError where there is none."""
    page = _read(directory / "index.html", {"Cache-Control": _REVALIDATE, "Content-Security-Policy": _POLICY})
    assets = {
        path.name: _read(path, {"Cache-Control": _IMMUTABLE})
        for path in (directory / "assets").iterdir()
        if path.suffix not in _ENCODINGS.values()
    }
    router = APIRouter(include_in_schema=False, dependencies=[PUBLIC])

    # The app's own addresses: the chat, a thread, and the operator's views.
    @router.get("/")
    @router.get("/c/{rest:path}")
    @router.get("/operator")
    @router.get("/operator/{rest:path}")
    async def show_page(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        return page.answer(request)

    @router.get("/assets/{name}")
    async def show_asset(name: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        asset = assets.get(name)
        if asset is None:
            raise NotFound
        return asset.answer(request)

    return router


def _read(path: Path, headers: Mapping[str, str]) -> AppFile:
    bodies = {"identity": path.read_bytes()}
    for encoding, suffix in _ENCODINGS.items():
        compressed = path.with_name(path.name + suffix)
        if compressed.exists():
            bodies[encoding] = compressed.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return AppFile(media_type=media_type, bodies=bodies, headers=headers)
