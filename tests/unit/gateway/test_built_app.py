"""The built app as browsers get it."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from gateway.built_app import app_router
from gateway.errors import handle_errors


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Chat</title>")
    (tmp_path / "assets" / "index-1a2b.js").write_text("plain")
    (tmp_path / "assets" / "index-1a2b.js.br").write_bytes(b"brotli")
    (tmp_path / "assets" / "index-1a2b.js.gz").write_bytes(b"gzip")
    return tmp_path


@pytest.fixture
def browser(built: Path) -> httpx.AsyncClient:
    app = FastAPI(openapi_url=None)
    handle_errors(app)
    app.include_router(app_router(built))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://chat")


@pytest.mark.parametrize("path", ["/", "/c/t_1", "/operator", "/operator/users/u1"])
async def test_every_address_of_the_app_is_its_page_and_is_asked_for_anew(
    browser: httpx.AsyncClient, path: str
):
    response = await browser.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert response.headers["cache-control"] == "no-cache"
    assert "script-src 'self'" in response.headers["content-security-policy"]


async def test_a_page_that_did_not_change_is_not_sent_again(browser: httpx.AsyncClient):
    etag = (await browser.get("/")).headers["etag"]
    response = await browser.get("/", headers={"If-None-Match": etag})
    assert (response.status_code, response.content) == (304, b"")


@pytest.mark.parametrize(
    ("accepts", "encoding"), [("gzip, br", "br"), ("gzip", "gzip"), ("identity", None), ("br;q=1.0", "br")]
)
async def test_an_asset_comes_in_the_smallest_form_and_stays(
    browser: httpx.AsyncClient, accepts: str, encoding: str | None
):
    async with browser.stream(
        "GET", "/assets/index-1a2b.js", headers={"Accept-Encoding": accepts}
    ) as response:
        body = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers.get("content-encoding") == encoding
    assert body == {"br": b"brotli", "gzip": b"gzip", None: b"plain"}[encoding]
    assert "immutable" in response.headers["cache-control"]
    assert response.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path", ["/assets/gone.js", "/assets/index-1a2b.js.br", "/assets/..%2Findex.html", "/x"]
)
async def test_what_is_not_there_is_not_the_page(browser: httpx.AsyncClient, path: str):
    assert (await browser.get(path)).status_code == 404
