"""The Redis client. Redis holds only what may vanish."""

from collections.abc import Iterable

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError


class _Connection(Connection):
    """Says that Redis is away where uvloop raises RuntimeError: to write after the connection was reset."""

    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002 - the library's own signature
    ) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError("the connection is closed") from error


class _SslConnection(_Connection, SSLConnection):
    """The same over TLS."""


_CONNECTIONS: dict[type, type[Connection]] = {Connection: _Connection, SSLConnection: _SslConnection}


def connect(url: str, *, pool_max: int = 16, timeout_s: float = 2.0) -> "Redis":
    """Return a client over a bounded pool that waits for a free connection instead of raising.

    `timeout_s` bounds connecting and every command. A command is not tried again by the client: whoever
    sent it knows whether that is safe.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=pool_max,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
    )
    pool.connection_class = _CONNECTIONS.get(pool.connection_class, pool.connection_class)
    # The client owns the pool, so that closing it closes the connections.
    return Redis.from_pool(pool)
