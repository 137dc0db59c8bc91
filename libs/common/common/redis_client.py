"""The Redis client. Redis holds only what may vanish."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


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
    # The client owns the pool, so that closing it closes the connections.
    return Redis.from_pool(pool)
