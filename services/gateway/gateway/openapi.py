"""The API's description: what FastAPI derives, with our errors and our ways to sign in."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from common.errors import TABLE
from gateway.errors import MEDIA_TYPE
from gateway.policy import PolicyName, policies_of

_USER_SCHEMES = {
    "session_in_address": {"type": "apiKey", "in": "query", "name": "s"},
    "session_as_bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "session_as_cookie": {"type": "apiKey", "in": "cookie", "name": "session"},
}
_INTEGRATION_SCHEMES = {
    "integration_basic": {"type": "http", "scheme": "basic"},
    "integration_bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
_PROBLEM = {
    "title": "Problem",
    "description": "RFC 9457. `code` is stable; other members depend on it.",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(TABLE)},
        "detail": {"type": "string"},
    },
}
_PROBLEM_ANSWER = {
    "description": "A problem",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe(app: FastAPI) -> None:
    """Compute the description once; `app.openapi()` returns it from then on."""
    schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components: dict[str, Any] = schema.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    components["securitySchemes"] = {**_USER_SCHEMES, **_INTEGRATION_SCHEMES}
    policies = policies_of(app)
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            responses: dict[str, Any] = operation["responses"]
            responses.pop("422", None)
            responses["default"] = _PROBLEM_ANSWER
            (policy,) = policies[f"{method.upper()} {path}"]
            operation["security"] = _security(policy)
            # OpenAPI has no word for the role that a session must have.
            operation["x-policy"] = policy
    app.openapi = lambda: schema  # type: ignore[method-assign] # FastAPI's own way to replace it


def _security(policy: PolicyName) -> list[dict[str, list[str]]]:
    match policy:
        case "public":
            return []
        case "user" | "operator":
            return [{name: []} for name in _USER_SCHEMES]
        case "integration":
            return [{name: []} for name in _INTEGRATION_SCHEMES]
