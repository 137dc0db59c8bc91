"""The Redis client says that Redis is away by one kind of error, whatever the event loop raises."""

import pytest
import uvloop
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from common import redis_client


def test_writing_to_a_connection_that_was_reset_means_that_redis_is_away(redis_url: str):
    async def write_after_reset() -> None:
        client = redis_client.connect(redis_url)
        connection = await client.connection_pool.get_connection()
        assert isinstance(connection, Connection)
        assert connection._writer is not None
        connection._writer.transport.abort()
        try:
            with pytest.raises(RedisConnectionError):
                await connection.send_command("PING")
            assert await client.ping()
        finally:
            await client.connection_pool.release(connection)
            await client.aclose()

    uvloop.run(write_after_reset())
