"""State shared on Redis."""

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
    """Cache entries shared by all instances, with their own connections. Redis expires them."""

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
    """A bounded, blocking connection pool with short timeouts."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=2 * TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        # One retry, for a connection that Redis closed while idle; the default retries for seconds.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
