"""The engine on the OpenAI Responses API, or a peer that speaks it.

The official SDK does the transport, on aiohttp: authentication, base URL, timeouts, errors before the
stream. The stream itself is decoded here, which costs a fraction of the SDK's typed events. A `create` is
sent once and never repeated by the SDK, for nothing tells the provider that two requests are the same run.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, suppress
from dataclasses import replace
from typing import Any, cast

import aiohttp
import httpx2
import orjson
from openai import AsyncAPIResponse, AsyncOpenAI, DefaultAioHttpClient, OpenAIError

from chat_worker.engine.interface import (
    EngineEvent,
    FileCited,
    InputTooLong,
    ModelError,
    ProviderAmbiguous,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
    RunSpec,
    Snapshot,
    StreamLost,
)
from chat_worker.engine.payloads import Citations, Json, as_object, citations_of, file_name, snapshot_of
from chat_worker.engine.provider_errors import DOWN, FILE_GONE, FILE_TOO_LARGE, NOT_STREAMABLE, TOO_LONG
from chat_worker.engine.sdk_errors import model_error, provider_code
from chat_worker.engine.stream_reader import StreamReader
from common.log import get_logger

log = get_logger()

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_CONNECT_S = 5.0
_WRITE_S = 10.0
_CALL_S = 10.0
_CALL_RETRIES = 2
_CALL_TOTAL_S = 25.0
_LIST_FILES_S = 5.0
_DOWNLOAD_S = 60.0
_LAST_CHUNK_S = 0.2
_KEEPALIVE_S = 60.0

# Some errors of aiohttp and of TLS come through httpx2 as they are.
_STREAM_ERRORS = (httpx2.HTTPError, aiohttp.ClientError, ssl.SSLError)
_CALL_ERRORS = (OpenAIError, TimeoutError, *_STREAM_ERRORS)

_Opening = AbstractAsyncContextManager[AsyncAPIResponse[Any]]


class OpenAIEngine:
    """Implements `Engine`. One per process: it owns the connections."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client
        # Reading and cancelling change nothing when repeated.
        self._patient = client.with_options(max_retries=_CALL_RETRIES)
        call_timeout = httpx2.Timeout(_CALL_S, connect=_CONNECT_S)
        self._quick = client.with_options(max_retries=_CALL_RETRIES, timeout=call_timeout)

    @classmethod
    def connect(
        cls, *, api_key: str, base_url: str | None, idle_s: float, connections_max: int
    ) -> "OpenAIEngine":
        """Make an engine with connections of its own. `idle_s` of silence on a stream counts as its loss."""
        # At its debug level the SDK writes whole requests, and with them what users said.
        logging.getLogger("openai").setLevel(logging.WARNING)
        limits = httpx2.Limits(
            max_connections=connections_max,
            max_keepalive_connections=connections_max,
            keepalive_expiry=_KEEPALIVE_S,
        )
        client = AsyncOpenAI(
            api_key=api_key or "none",
            base_url=base_url or DEFAULT_BASE_URL,
            max_retries=0,
            timeout=httpx2.Timeout(connect=_CONNECT_S, read=idle_s, write=_WRITE_S, pool=_CONNECT_S),
            # A redirect would carry the key and the conversation to wherever it points.
            http_client=DefaultAioHttpClient(limits=limits, follow_redirects=False),
        )
        return cls(client)

    async def close(self) -> None:
        await self._client.close()

    def run(self, spec: RunSpec) -> AsyncGenerator[EngineEvent]:
        """Start a response and stream it, as `Engine.run`."""
        create = self._client.responses.with_streaming_response.create
        # As `extra_body`: the SDK checks parameters against their types, which takes it longer than all else
        # in front of the first token, and the longer the conversation.
        return self._stream(
            lambda: cast(_Opening, create(stream=True, extra_body=_request(spec))), is_new=True
        )

    def resume(self, response_id: str) -> AsyncGenerator[EngineEvent]:
        """Stream a stored response from its very beginning, as `Engine.resume`."""
        retrieve = self._patient.responses.with_streaming_response.retrieve
        return self._stream(lambda: retrieve(response_id, stream=True), is_new=False)

    async def cancel(self, response_id: str) -> Snapshot | None:
        """Cancel a background response, as `Engine.cancel`; the provider takes a repeat for the same."""
        try:
            async with asyncio.timeout(_CALL_TOTAL_S):
                answer = await self._quick.responses.with_raw_response.cancel(response_id)
        except _CALL_ERRORS as error:
            refusal = _translated(error, "cancel", missing=NOT_STREAMABLE)
            if isinstance(refusal, ProviderRefused):
                return None
            raise refusal from None
        response = _response(answer.content)
        return None if response is None else snapshot_of(response)

    async def retrieve(self, response_id: str) -> Snapshot | None:
        """Return a stored response, as `Engine.retrieve`."""
        try:
            async with asyncio.timeout(_CALL_TOTAL_S):
                answer = await self._quick.responses.with_raw_response.retrieve(response_id)
        except _CALL_ERRORS as error:
            _translated(error, "retrieve")
            return None
        return await self._with_linked_files(answer.content)

    async def _with_linked_files(self, content: bytes) -> Snapshot | None:
        response = _response(content)
        if response is None:
            return None
        snapshot = snapshot_of(response)
        linked = await self._linked_files(citations_of(response)) if snapshot.finished else ()
        return replace(snapshot, files=(*snapshot.files, *linked))

    async def download(self, file: FileCited, *, bytes_max: int) -> bytes:
        """Fetch a file, as `Engine.download`."""
        content = bytearray()
        try:
            async with asyncio.timeout(_DOWNLOAD_S), self._opened_file(file) as response:
                async for piece in response.iter_bytes():
                    content += piece
                    if len(content) > bytes_max:
                        raise ProviderRefused(FILE_TOO_LARGE)
        except _CALL_ERRORS as error:
            raise _translated(error, "download", missing=FILE_GONE) from None
        return bytes(content)

    def _opened_file(self, file: FileCited) -> _Opening:
        if file.container_id is None:
            return self._quick.files.with_streaming_response.content(file.file_id)
        content = self._quick.containers.files.content.with_streaming_response
        return cast(_Opening, content.retrieve(file.file_id, container_id=file.container_id))  # pyright: ignore[reportUnknownMemberType]

    async def _stream(self, opening: Callable[[], _Opening], *, is_new: bool) -> AsyncGenerator[EngineEvent]:
        reader = StreamReader()
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(opening())
            except _CALL_ERRORS as error:
                missing = None if is_new else NOT_STREAMABLE
                raise _translated(error, "stream", repeatable=not is_new, missing=missing) from None
            chunks = await stack.enter_async_context(aclosing(response.http_response.aiter_bytes()))
            try:
                async for chunk in chunks:
                    for event in reader.feed(chunk):
                        yield event
                    if reader.finished is not None or reader.broken:
                        break
            except _STREAM_ERRORS as error:
                raise _lost(reader, type(error).__name__, is_new=is_new) from None
            finished = reader.finished
            if finished is None:
                raise _lost(reader, "broken_json" if reader.broken else "ended_early", is_new=is_new)
            if finished.error is not None and not reader.started:
                _raise_refusal(finished.error)
            yield finished
            await _read_last_chunk(chunks)
            for file in await self._linked_files(reader.citations):
                yield file

    async def _linked_files(self, citations: Citations) -> list[FileCited]:
        """Find the files that a text links without an annotation, by their path in the container."""
        container_id = citations.container_id
        if container_id is None or not citations.linked_paths:
            return []
        try:
            async with asyncio.timeout(_LIST_FILES_S):
                page = await self._quick.containers.files.list(container_id, limit=100)
        except _CALL_ERRORS as error:
            _translated(error, "list_files")
            return []
        paths = {file.path: file.id for file in page.data}
        wanted = dict.fromkeys(citations.linked_paths)
        return [FileCited(paths[path], file_name(path), container_id) for path in wanted if path in paths]


def _request(spec: RunSpec) -> dict[str, Any]:
    """Write the body of `create`. A profile's parameters never replace those that the product relies on."""
    request: dict[str, Any] = {
        **spec.params,
        "model": spec.model,
        "instructions": spec.instructions,
        "input": spec.input,
        "max_output_tokens": spec.max_output_tokens,
        "metadata": {"run_id": spec.run_id, "attempt": str(spec.attempt)},
        "prompt_cache_key": spec.thread_id,
        "safety_identifier": spec.user_ref,
        "store": spec.background,
        "stream": True,
    }
    if spec.background:
        request["background"] = True
    if spec.tools:
        request["tools"] = list(spec.tools)
    return request


def _translated(
    error: Exception, call: str, *, repeatable: bool = True, missing: ProviderError | None = None
) -> ModelError:
    log.warning(
        "provider_call_failed",
        call=call,
        kind=type(error).__name__,
        status=getattr(error, "status_code", None),
        provider_code=provider_code(error),
        request_id=getattr(error, "request_id", None),
    )
    if isinstance(error, TimeoutError):
        return ProviderBusy(DOWN)
    return model_error(error, repeatable=repeatable, missing=missing)


def _raise_refusal(error: ProviderError) -> None:
    """An error in place of a response is an answer that could have had a status: so is what it means."""
    if error.retryable:
        raise ProviderBusy(error)
    if error is TOO_LONG:
        raise InputTooLong(error)


def _lost(reader: StreamReader, how: str, *, is_new: bool) -> ModelError:
    """A new stream that broke before its response had a name leaves open what the provider does."""
    return ProviderAmbiguous(how) if is_new and not reader.started else StreamLost(how)


async def _read_last_chunk(chunks: AsyncIterator[bytes]) -> None:
    """Read to the end of the body, which is due at once, so that the connection can be used again."""
    with suppress(TimeoutError, *_STREAM_ERRORS):
        async with asyncio.timeout(_LAST_CHUNK_S):
            async for _ in chunks:
                pass


def _response(content: bytes) -> Json | None:
    try:
        return as_object(orjson.loads(content))
    except orjson.JSONDecodeError:
        return None
