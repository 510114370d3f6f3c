"""State shared on Redis."""

from datetime import timedelta

from limits import WindowStats
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.core.limits.windows import Limit

# Requests wait this long: an unreachable Redis must cost little until it is detected.
TIMEOUT_SECONDS = 0.5
MAX_CONNECTIONS = 50


class RedisWindows:
    """Moving windows shared by all instances, with their own connections."""

    def __init__(self, url: str, prefix: str) -> None:
        self.pool = open_pool(url)
        self.limiter = shared_limiter(self.pool, f"{prefix}:limit")

    async def hit(self, limit: Limit, key: str) -> tuple[bool, WindowStats]:
        return await self.limiter.hit(limit.item, key), await self.look(limit, key)

    async def look(self, limit: Limit, key: str) -> WindowStats:
        return await self.limiter.get_window_stats(limit.item, key)

    async def clear(self, limit: Limit, key: str) -> None:
        await self.limiter.clear(limit.item, key)

    async def ping(self) -> None:
        await Redis(connection_pool=self.pool).ping()

    async def close(self) -> None:
        await self.pool.disconnect()


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


def shared_limiter(pool: ConnectionPool, prefix: str) -> MovingWindowRateLimiter:
    # The pool has the address; this URL only tells the library the kind of server.
    storage = RedisStorage(
        "redis://",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=prefix,
        connection_pool=pool,  # type: ignore[arg-type] # documented, but missing from its types
    )
    return MovingWindowRateLimiter(storage)
