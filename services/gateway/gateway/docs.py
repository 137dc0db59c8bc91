"""`/openapi.json`, and `/docs`: the same as one plain page, without scripts and without foreign hosts."""

import base64
import hashlib
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from common.errors import TABLE
from gateway.middleware.security_headers import CONTENT_POLICY
from gateway.policy import PUBLIC, PolicyName

router = APIRouter(include_in_schema=False, dependencies=[PUBLIC])

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:.1em .3em;border-radius:3px}"
    "table{border-collapse:collapse}td,th{padding:.25rem 1rem .25rem 0;text-align:left;vertical-align:top}"
    ":root{color-scheme:light dark}"
)
_NEEDS: dict[PolicyName, str] = {
    "public": "open to all",
    "user": "needs a session",
    "operator": "needs an operator's session",
    "integration": "needs the integration's password or token",
}
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"{CONTENT_POLICY}; style-src 'sha256-{_STYLE_HASH}'"


@router.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    return HTMLResponse(_page(request.app.openapi()), headers={"Content-Security-Policy": _POLICY})


def _page(schema: dict[str, Any]) -> str:
    title = escape(schema["info"]["title"])
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    )
    errors = "".join(
        f'<tr id="{code}"><td><code>{code}</code><td>{error.status}<td>{escape(error.title)}'
        for code, error in sorted(TABLE.items(), key=lambda item: (item[1].status, item[0]))
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>Machine-readable: <a href="/openapi.json">/openapi.json</a></p>'
        f"{operations}<h2>Errors</h2><p>Each is <code>application/problem+json</code> with one of these "
        f"codes.</p><table><tr><th>code<th>status<th>meaning{errors}</table></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code><td>{parameter['in']}"
        f"<td>{'required' if parameter.get('required') else ''}"
        for parameter in operation.get("parameters", ())
    )
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description', ''))}</p><p>{escape(_NEEDS[operation['x-policy']])}</p>"
        f"<table>{parameters}</table>"
    )
