"""Windows of limits in Redis, where all instances count."""

from limits import WindowStats
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool, Redis

from app.core.cache.redis import open_pool
from app.core.limits.windows import Limit


class RedisWindows:
    """Moving windows that all instances count in, on connections of their own."""

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


def shared_limiter(pool: ConnectionPool, prefix: str) -> MovingWindowRateLimiter:
    # The address is the pool's; this one only tells the library which kind of server it talks to.
    storage = RedisStorage(
        "redis://",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=prefix,
        connection_pool=pool,  # type: ignore[arg-type] # documented, but missing from its types
    )
    return MovingWindowRateLimiter(storage)
