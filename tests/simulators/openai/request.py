"""The body of `POST /v1/responses`, as far as the simulator acts on it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MIN_OUTPUT_TOKENS = 16
_TOKEN = re.compile(r"\s*\S+")


class Rejected(Exception):
    """The API says no, in its own form."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message, code=code, param=param)


def error_body(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    kind = "server_error" if status >= 500 else kinds.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    model: str
    last_user_text: str
    input_tokens: int
    user_messages: int
    stream: bool = False
    background: bool = False
    store: bool = True
    max_output_tokens: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    prompt_cache_key: str | None = None
    echoed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields that the response object repeats."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The whole body but what was said."""

    @property
    def run_id(self) -> str:
        return self.metadata.get("run_id", "")


def tokens_of(text: str) -> list[str]:
    """Split into what the simulator calls tokens: words with the space before them."""
    found = _TOKEN.findall(text)
    rest = text[sum(map(len, found)) :]
    if rest:
        found.append(rest)
    return found


def parse_create(body: Mapping[str, Any]) -> CreateRequest:
    """Check what the API checks. Raises Rejected."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Rejected(
            400, "Missing required parameter: 'model'.", code="missing_required_parameter", param="model"
        )
    limit = body.get("max_output_tokens")
    if limit is not None and limit < MIN_OUTPUT_TOKENS:
        message = f"Invalid 'max_output_tokens': integer below minimum value. Expected >= 16, got {limit}."
        raise Rejected(400, message, code="integer_below_min_value", param="max_output_tokens")
    background, store = bool(body.get("background")), body.get("store") is not False
    if background and not store:
        raise Rejected(400, "Background mode requires store to be true.", param="store")
    messages = _messages(body.get("input"))
    users = [text for role, text in messages if role == "user"]
    words = sum(len(tokens_of(text)) for _, text in messages) + len(tokens_of(body.get("instructions") or ""))
    return CreateRequest(
        model=model,
        last_user_text=users[-1] if users else "",
        input_tokens=words + 3 * len(messages),
        user_messages=len(users),
        stream=bool(body.get("stream")),
        background=background,
        store=store,
        max_output_tokens=limit,
        metadata=body.get("metadata") or {},
        prompt_cache_key=body.get("prompt_cache_key"),
        echoed={
            k: body.get(k) for k in ("instructions", "metadata", "prompt_cache_key", "safety_identifier")
        },
        options={k: v for k, v in body.items() if k not in ("input", "instructions")},
    )


def _messages(value: object) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [("user", value)]
    if not isinstance(value, list) or not value:
        raise Rejected(
            400, "Missing required parameter: 'input'.", code="missing_required_parameter", param="input"
        )
    return [(item.get("role", ""), _text(item.get("content"))) for item in value]


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content) if isinstance(content, list) else ""
