"""Reading the provider's JSON, which peers of the API fill with less than its own specification demands."""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, cast
from urllib.parse import unquote

from chat_worker.engine.interface import FileCited, Finished, Snapshot
from chat_worker.engine.provider_errors import error_of_event
from common.events.envelope import TokenUsage

Json = dict[str, Any]
EndStatus = Literal["completed", "incomplete", "cancelled", "failed"]

MESSAGE_BREAK = "\n\n"
"""Stands between two messages of one response: models write a remark, use a tool, and then answer."""

_TOKENS_MAX = 2**53
"""The ledger books no more for one run, and no database adds much more."""

_SANDBOX_LINK = re.compile(r"\]\(sandbox:(/mnt/data/[^)\s]+)\)")


def as_object(value: object) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def usage_of(value: object) -> TokenUsage | None:
    """Read a usage object; None where it tells nothing.

    A peer that counts nothing sends zeros or nothing, and figures that no run can have were not counted.
    """
    usage = as_object(value)
    input_tokens = _count(usage.get("input_tokens"))
    cached_tokens = _count(as_object(usage.get("input_tokens_details")).get("cached_tokens"))
    output_tokens = _count(usage.get("output_tokens"))
    reasoning_tokens = _count(as_object(usage.get("output_tokens_details")).get("reasoning_tokens"))
    total_tokens = input_tokens + output_tokens
    if not total_tokens or max(total_tokens, cached_tokens, reasoning_tokens) > _TOKENS_MAX:
        return None
    return TokenUsage(
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
    )


def finished_of(response: Json) -> Finished | None:
    """Return how a response ended, or None while it has not."""
    match response.get("status"):
        case "completed" | "incomplete" | "cancelled" | "failed" as status:
            return finished_as(status, response)
        case _:
            return None


def finished_as(status: EndStatus, response: Json) -> Finished:
    usage = usage_of(response.get("usage"))
    if status != "failed":
        return Finished(status, usage)
    return Finished(status, usage, error_of_event(as_text(as_object(response.get("error")).get("code"))))


def message_text(item: Json) -> str:
    """Join the parts of a message; a refusal is what the model has to say."""
    parts = map(as_object, as_list(item.get("content")))
    return "".join(as_text(part.get("text")) or as_text(part.get("refusal")) for part in parts)


def response_text(response: Json) -> str:
    """Return the text just as the deltas of the stream give it."""
    texts = (message_text(item) for item in _messages(response))
    return MESSAGE_BREAK.join(text for text in texts if text)


def snapshot_of(response: Json) -> Snapshot:
    cited = citations_of(response)
    return Snapshot(
        text=response_text(response),
        finished=finished_of(response),
        files=tuple(cited.files),
        annotations=tuple(cited.annotations),
    )


def container_file(annotation: Json) -> FileCited | None:
    """Read an annotation that names its file in full, as a `file_path` does not: its name is in the text."""
    file_id, container_id = as_text(annotation.get("file_id")), as_text(annotation.get("container_id"))
    if annotation.get("type") != "container_file_citation" or not file_id or not container_id:
        return None
    return FileCited(file_id, as_text(annotation.get("filename")) or file_id, container_id)


_CITED_FIELDS = {
    "url_citation": ("url", "title", "start_index", "end_index"),
    "file_citation": ("filename", "index"),
}
_WEB = ("https://", "http://")


def citation(annotation: Json) -> Json | None:
    """Return what users may see of an annotation. Ids are of use at the provider only, so they stay here."""
    kind = as_text(annotation.get("type"))
    fields = _CITED_FIELDS.get(kind)
    if fields is None or (kind == "url_citation" and not as_text(annotation.get("url")).startswith(_WEB)):
        return None
    return {"type": kind, **{name: annotation[name] for name in fields if name in annotation}}


@dataclass(slots=True)
class Citations:
    """What a whole response refers to.

    `linked_paths` are files of `container_id` that the text links and no annotation names: models
    sometimes write the link alone.
    """

    files: list[FileCited] = field(default_factory=list[FileCited])
    annotations: list[Json] = field(default_factory=list[Json])
    container_id: str | None = None
    linked_paths: list[str] = field(default_factory=list[str])


def citations_of(response: Json) -> Citations:
    """Collect files and annotations from the output of a response."""
    found = Citations()
    for item in map(as_object, as_list(response.get("output"))):
        if item.get("type") == "code_interpreter_call":
            found.container_id = as_text(item.get("container_id")) or found.container_id
    for message in _messages(response):
        for part in map(as_object, as_list(message.get("content"))):
            _cite(part, found)
    return found


def _cite(part: Json, found: Citations) -> None:
    links = [unquote(link) for link in _SANDBOX_LINK.findall(as_text(part.get("text")))]
    annotations = [as_object(a) for a in as_list(part.get("annotations"))]
    found.annotations += [shown for a in annotations if (shown := citation(a))]
    for file in filter(None, map(container_file, annotations)):
        found.files.append(file)
        links = [link for link in links if file_name(link) != file.name]
    for annotation in annotations:
        file_id = as_text(annotation.get("file_id"))
        if annotation.get("type") == "file_path" and file_id:
            name = file_name(links.pop(0)) if links else file_id
            found.files.append(FileCited(file_id, name, None))
    found.linked_paths += links


def file_name(path: str) -> str:
    return PurePosixPath(path).name


def _messages(response: Json) -> list[Json]:
    items = map(as_object, as_list(response.get("output")))
    return [item for item in items if item.get("type") == "message"]
