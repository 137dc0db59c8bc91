"""The routes: those of the API, and `/_sim` to script it and to read its journal."""

import re
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from common.clock import Clock
from simulators.openai.answer import Answer, MadeFile
from simulators.openai.behaviour import Behaviour, Script
from simulators.openai.generation import Generation
from simulators.openai.http import Exchange
from simulators.openai.journal import Journal
from simulators.openai.listeners import EventStream, PlainAnswer
from simulators.openai.pacer import Pacer
from simulators.openai.request import CreateRequest, Rejected, error_body, parse_create

CACHE_BLOCK_TOKENS = 128
CACHE_MIN_TOKENS = 1_024
MODELS = ("sim-1", "sim-1-mini")

_BEHAVIOURS = TypeAdapter(list[Behaviour])
_MESSAGES = {
    429: "Rate limit reached for requests.",
    401: "Incorrect API key provided: {key}. You can find your API key in the dashboard.",
}


class Api:
    """One simulated provider; its state lives as long as the process."""

    def __init__(self, pacer: Pacer, clock: Clock) -> None:
        self._pacer = pacer
        self._clock = clock
        self._script = Script()
        self._journal = Journal()
        self._cached: dict[str, int] = {}
        self._files: dict[str, MadeFile] = {}
        self._deleted: set[str] = set()
        ident = r"([\w.:-]+)"
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., None]]] = [
            (method, re.compile(path), handler)
            for method, path, handler in (
                ("POST", r"/v1/responses", self._create),
                ("GET", rf"/v1/responses/{ident}", self._retrieve),
                ("DELETE", rf"/v1/responses/{ident}", self._delete),
                ("POST", rf"/v1/responses/{ident}/cancel", self._cancel),
                ("GET", r"/v1/models", self._models),
                ("GET", rf"/v1/models/{ident}", self._model),
                ("GET", rf"/v1/containers/{ident}/files", self._container_files),
                ("GET", rf"/v1/containers/{ident}/files/{ident}/content", self._container_file),
                ("GET", rf"/v1/files/{ident}/content", self._file),
                ("GET", r"/_sim/journal", self._show_journal),
                ("POST", r"/_sim/script", self._add_script),
                ("DELETE", r"/_sim/script", self._clear_script),
                ("POST", r"/_sim/reset", self._reset),
            )
        ]

    def __call__(self, exchange: Exchange) -> None:
        try:
            self._dispatch(exchange)
        except Rejected as rejected:
            self._journal.refused[rejected.status] += 1
            exchange.answer(rejected.status, rejected.body)
        except (ValueError, ValidationError) as error:
            exchange.answer(400, error_body(400, str(error)))

    def _dispatch(self, exchange: Exchange) -> None:
        if exchange.path.startswith("/v1/"):
            key = exchange.headers.get("authorization", "").removeprefix("Bearer ")
            if not key or key.startswith("sk-wrong"):
                raise Rejected(401, _MESSAGES[401].format(key=key), code="invalid_api_key")
        for method, path, handler in self._routes:
            found = path.fullmatch(exchange.path)
            if found is not None and method == exchange.method:
                handler(exchange, *found.groups())
                return
        raise Rejected(404, f"Invalid URL ({exchange.method} {exchange.path})")

    def _create(self, exchange: Exchange) -> None:
        request = parse_create(exchange.json())
        self._journal.posted(request, exchange.peer_port)
        behaviour = self._script.pick(request)
        if behaviour.status is not None:
            self._fail(exchange, behaviour, behaviour.status)
            return
        generation = self._start(request, behaviour)
        if behaviour.fault == "hang":
            exchange.on_gone = generation.client_gone
        elif behaviour.fault == "reset":
            exchange.reset()
            generation.client_gone()
        elif request.stream:
            EventStream(generation, exchange, after=None, fault=behaviour.fault).pump()
        elif generation.background:
            exchange.answer(200, generation.response())
        else:
            PlainAnswer(generation, exchange)
        self._pacer.start(generation)

    def _start(self, request: CreateRequest, behaviour: Behaviour) -> Generation:
        answer = Answer(request, behaviour, cached_tokens=self._cache(request))
        created_at = int(self._clock.now().timestamp())
        generation = Generation(answer, created_at=created_at, on_closed=self._closed)
        self._journal.generations[generation.id] = generation
        return generation

    def _cache(self, request: CreateRequest) -> int:
        """Reuse the prompt that the same key sent before, in whole blocks, as the provider does."""
        key = request.prompt_cache_key
        if key is None:
            return 0
        known = min(self._cached.get(key, 0), request.input_tokens)
        self._cached[key] = request.input_tokens
        return known // CACHE_BLOCK_TOKENS * CACHE_BLOCK_TOKENS if known >= CACHE_MIN_TOKENS else 0

    def _closed(self, generation: Generation) -> None:
        if generation.status == "completed":
            self._files |= {f.file_id: f for f in generation.answer.files}

    def _fail(self, exchange: Exchange, behaviour: Behaviour, status: int) -> None:
        self._journal.refused[status] += 1
        key = exchange.headers.get("authorization", "").removeprefix("Bearer ")
        # Real messages may echo what was sent; nothing of it may reach a user or a log.
        message = _MESSAGES.get(status, "It went wrong for {key}.").format(key=key)
        retry = {} if behaviour.retry_after_s is None else {"retry-after": f"{behaviour.retry_after_s:g}"}
        exchange.answer(status, error_body(status, message, code=behaviour.code), retry)

    def _stored(self, response_id: str) -> Generation:
        """Find what GET may see: a foreground response only once it is complete."""
        generation = self._journal.generations.get(response_id)
        hidden = (
            generation is None
            or response_id in self._deleted
            or not generation.answer.request.store
            or (not generation.background and (not generation.is_closed or generation.was_cut))
        )
        if generation is None or hidden:
            raise Rejected(404, f"Response with id '{response_id}' not found.")
        return generation

    def _retrieve(self, exchange: Exchange, response_id: str) -> None:
        generation = self._stored(response_id)
        if exchange.query.get("stream") != "true":
            exchange.answer(200, generation.response())
            return
        if not generation.background:
            raise Rejected(
                400, "This response cannot be streamed because it was not created with background=true."
            )
        if not generation.answer.request.stream:
            raise Rejected(
                400, "This response cannot be streamed because it was not created with stream=true."
            )
        after = exchange.query.get("starting_after")
        behaviour = generation.answer.behaviour
        self._journal.resumes[response_id] += 1
        fault = behaviour.fault if self._journal.resumes[response_id] <= behaviour.resume_faults else None
        EventStream(generation, exchange, after=None if after is None else int(after), fault=fault).pump()

    def _cancel(self, exchange: Exchange, response_id: str) -> None:
        generation = self._stored(response_id)
        if not generation.background:
            raise Rejected(400, "Cannot cancel a synchronous response.")
        self._journal.cancels[response_id] += 1
        generation.cancel()
        exchange.answer(200, generation.response())

    def _delete(self, exchange: Exchange, response_id: str) -> None:
        self._stored(response_id)
        self._deleted.add(response_id)
        exchange.answer(200, {"id": response_id, "object": "response", "deleted": True})

    def _models(self, exchange: Exchange) -> None:
        exchange.answer(200, {"object": "list", "data": [self._describe(name) for name in MODELS]})

    def _model(self, exchange: Exchange, name: str) -> None:
        exchange.answer(200, self._describe(name))

    def _describe(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "simulator"}

    def _container_files(self, exchange: Exchange, container_id: str) -> None:
        data = [
            {
                "id": f.file_id,
                "object": "container.file",
                "container_id": container_id,
                "path": f.path,
                "bytes": len(f.content()),
                "created_at": 1_700_000_000,
                "source": "assistant",
            }
            for f in self._files.values()
            if f.container_id == container_id
        ]
        ends = (
            {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
            if data
            else {"first_id": None, "last_id": None}
        )
        exchange.answer(200, {"object": "list", "data": data, "has_more": False, **ends})

    def _container_file(self, exchange: Exchange, container_id: str, file_id: str) -> None:
        found = self._files.get(file_id)
        if (
            found is None
            or found.container_id != container_id
            or found.spec.cited_as == "file"
            or found.spec.expired
        ):
            raise Rejected(404, "Container is expired or the file does not exist.")
        exchange.answer(200, found.content())

    def _file(self, exchange: Exchange, file_id: str) -> None:
        found = self._files.get(file_id)
        if found is None or found.spec.cited_as != "file" or found.spec.expired:
            raise Rejected(404, f"No such File object: {file_id}")
        disposition = f'attachment; filename="{found.spec.name}"'
        exchange.answer(200, found.content(), {"content-disposition": disposition})

    def _show_journal(self, exchange: Exchange) -> None:
        exchange.answer(200, self._journal.report(exchange.query.get("run_id")))

    def _add_script(self, exchange: Exchange) -> None:
        behaviours = _BEHAVIOURS.validate_python(exchange.json().get("behaviours"))
        self._script.add(behaviours)
        exchange.answer(200, {"added": len(behaviours)})

    def _clear_script(self, exchange: Exchange) -> None:
        self._script.clear()
        exchange.answer(200, {})

    def _reset(self, exchange: Exchange) -> None:
        """Forget script and journal. Responses that still run end as cancelled."""
        for generation in self._journal.generations.values():
            generation.cancel()
        self._script.clear()
        self._journal = Journal()
        exchange.answer(200, {})
