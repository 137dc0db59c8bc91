"""Assistant profiles: versioned files that say which model answers, how, and within which limits.

`OAI_ASSISTANT` names one: by the profile's id, or by an alias (an old `asst_…` id keeps working that way).
Hosted prompts (`pmpt_…`) are refused: the provider shuts them down on 2026-11-30.
"""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class Assistant(BaseModel):
    """One profile. Every run records `reference`, so that an answer can be traced to its profile.

    `max_input_tokens` bounds the history that is sent along, `max_output_tokens` one answer (hidden
    reasoning included); a balance that cannot pay for `min_output_tokens` refuses the message.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    version: int = Field(gt=0)
    aliases: tuple[str, ...] = ()
    model: str
    instructions: str
    max_input_tokens: int = Field(gt=0)
    max_output_tokens: int = Field(gt=0)
    min_output_tokens: int = Field(gt=0)
    background: bool = False
    tools: tuple[dict[str, Any], ...] = ()
    params: dict[str, Any] = Field(default_factory=dict[str, Any])

    @model_validator(mode="after")
    def _limits_fit(self) -> "Assistant":
        if self.min_output_tokens > self.max_output_tokens:
            raise ValueError("min_output_tokens is above max_output_tokens")
        return self

    @property
    def reference(self) -> str:
        return f"{self.id}@{self.version}"


class AssistantNotFound(ValueError):
    """The configured assistant cannot be used; the message says what to do."""


def load_assistant(directory: Path, name: str) -> Assistant:
    """Return the profile called `name`. Raises AssistantNotFound with what to do about it."""
    if name.startswith("pmpt_"):
        raise AssistantNotFound(
            f"OAI_ASSISTANT={name} is a hosted prompt; the provider shuts those down on 2026-11-30. "
            f"Write its instructions into a profile in {directory} and name that."
        )
    profiles = [_read(path) for path in sorted(directory.glob("*.toml"))]
    for profile in profiles:
        if name == profile.id or name in profile.aliases:
            return profile
    known = ", ".join(profile.id for profile in profiles) or "none"
    raise AssistantNotFound(
        f"OAI_ASSISTANT={name} has no profile in {directory} (found: {known}). "
        "Add a file with that id, or list the name under `aliases` of an existing one."
    )


def _read(path: Path) -> Assistant:
    try:
        return Assistant.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise AssistantNotFound(f"{path} is not a valid profile: {error}") from error
