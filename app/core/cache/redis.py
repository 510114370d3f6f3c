"""Redis: what instances share."""

from datetime import timedelta

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

# Requests wait for this: a Redis that is not there must cost little until it is noticed.
TIMEOUT_SECONDS = 0.5
MAX_CONNECTIONS = 50


class RedisStore:
    """Cache entries that all instances use, on connections of their own. Redis throws them away when they are old."""

    errors = (RedisError, OSError)

    def __init__(self, url: str, prefix: str, ttl: timedelta) -> None:
        self.pool = open_pool(url)
        self.prefix = f"{prefix}:cache"
        self.client = Redis(connection_pool=self.pool)
        self.ttl = ttl

    async def get(self, key: str) -> bytes | None:
        entry = await self.client.get(f"{self.prefix}:{key}")
        assert not isinstance(entry, str)  # the client is not told to decode
        return entry

    async def set(self, key: str, value: bytes) -> None:
        await self.client.set(f"{self.prefix}:{key}", value, px=self.ttl)

    async def close(self) -> None:
        await self.pool.disconnect()


def open_pool(url: str) -> ConnectionPool:
    """Connections that give up soon, and wait for each other where there would be too many."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=2 * TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        # Once more for a connection that Redis closed while it was idle; the default goes on for seconds.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
