"""Request and reply over the queue.

A reply is `{"ok": {…}}` or `{"error": {"code", "detail", "retry_after_s", "extra"}}`; the code comes out
as the class that has it in the table of errors.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import orjson
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from pydantic import BaseModel

from common.amqp.consumer import Consumer
from common.amqp.delivery import DeadLetter, Done
from common.amqp.publisher import Publisher, Route, encode
from common.amqp.topology import LEDGER_RPC, Queue, exchange_of
from common.errors import TABLE, AppError, Unavailable
from common.events.envelope import Command
from common.log import get_logger

log = get_logger()

R = TypeVar("R", bound=BaseModel)
CommandHandler = Callable[[Any], Awaitable[BaseModel]]


class RpcServer(Consumer):
    """Answers commands. A raised AppError is an answer too; only a bug or a lost reply has none."""

    def __init__(
        self,
        queue: Queue,
        source: AbstractQueue,
        publisher: Publisher,
        *,
        handlers: Mapping[type[Command], CommandHandler],
    ) -> None:
        super().__init__(queue, source, publisher)
        self._handlers = handlers

    async def _on_message(self, incoming: AbstractIncomingMessage) -> None:
        self._spawn(self._answer(incoming))

    async def _answer(self, incoming: AbstractIncomingMessage) -> None:
        body = await self._reply_to(incoming)
        if incoming.reply_to:
            route = Route(
                exchange="",
                routing_key=incoming.reply_to,
                message_id=incoming.message_id or "",
                type="reply",
                headers={},
                correlation_id=incoming.correlation_id,
            )
            try:
                await self._publisher.publish_raw(body, route, deadline_s=2)
            except Unavailable as error:
                # Whoever asked is gone or has given up; the same request id may come again.
                log.info("reply_lost", type=incoming.type, code=error.code)
        await self._settle(incoming, Done())

    async def _reply_to(self, incoming: AbstractIncomingMessage) -> bytes:
        delivery = self._decode(incoming)
        if isinstance(delivery, DeadLetter):
            return _error_reply(TABLE["malformed"](delivery.reason))
        try:
            reply = await self._handlers[type(delivery.message)](delivery.message)  # type: ignore[index]
        except AppError as error:
            return _error_reply(error)
        except Exception:
            # The edge: a bug is answered too, so that nobody waits for it.
            log.exception("command_failed", type=incoming.type)
            return _error_reply(AppError())
        return b'{"ok":' + reply.model_dump_json().encode() + b"}"


class RpcClient:
    """Sends commands and waits for their replies on a queue of this process's own."""

    def __init__(self, publisher: Publisher, reply_queue: AbstractQueue) -> None:
        self._publisher = publisher
        self._reply_queue = reply_queue
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    async def start(self) -> None:
        await self._reply_queue.consume(self._on_reply, no_ack=True)

    async def call(self, command: Command, reply: type[R], *, deadline_s: float = 5.0) -> R:
        """Send a command and return its reply.

        Raises the AppError that was answered, or Unavailable when no answer came in time; the command
        may then have been carried out all the same.
        """
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[command.request_id] = future
        try:
            async with asyncio.timeout(deadline_s):
                await self._publisher.publish_raw(
                    encode(command), self._route(command), deadline_s=deadline_s
                )
                body = await future
        except TimeoutError:
            raise Unavailable(f"no answer to {command.name} in time") from None
        finally:
            self._waiting.pop(command.request_id, None)
        return _read_reply(body, reply)

    def _route(self, command: Command) -> Route:
        return Route(
            exchange=exchange_of(type(command)),
            routing_key=command.routing_key(),
            message_id=command.request_id,
            type=command.routing_key(),
            headers={},
            reply_to=self._reply_queue.name,
            correlation_id=command.request_id,
            expires_s=LEDGER_RPC.reply_ttl_s,
        )

    async def _on_reply(self, incoming: AbstractIncomingMessage) -> None:
        future = self._waiting.get(incoming.correlation_id or "")
        if future is not None and not future.done():
            future.set_result(incoming.body)


def _error_reply(error: AppError) -> bytes:
    fields = {
        "code": error.code,
        "detail": error.detail,
        "retry_after_s": error.retry_after_s,
        "extra": error.extra,
    }
    return orjson.dumps({"error": fields}, option=orjson.OPT_UTC_Z)


def _read_reply(body: bytes, reply: type[R]) -> R:
    answer = orjson.loads(body)
    failed = answer.get("error")
    if failed is None:
        return reply.model_validate(answer["ok"])
    error_type = TABLE.get(failed["code"], AppError)
    extra = dict(failed["extra"] or {})
    if failed["retry_after_s"] is not None:
        extra["retry_after_s"] = failed["retry_after_s"]
    raise error_type(failed["detail"], **extra)
