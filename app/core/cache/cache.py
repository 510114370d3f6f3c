"""The cache: in this process, or on Redis for all instances."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, Self
from weakref import WeakValueDictionary

from app.core.config.deployment import PREFIX
from app.core.config.settings import Settings
from app.core.fallback import RETRY, Fallback

if TYPE_CHECKING:
    from app.core.cache.redis import RedisStore

TTL = timedelta(minutes=1)
MAX_BYTES = 16 * 1024 * 1024
ENTRY_OVERHEAD_BYTES = 500


class Store(Protocol):
    """A store whose entries expire, or are evicted for lack of room."""

    async def get(self, key: str) -> bytes | None: ...
    async def set(self, key: str, value: bytes) -> None: ...


class LocalStore:
    """An LRU cache in this process."""

    def __init__(self, *, ttl: timedelta = TTL, max_bytes: int = MAX_BYTES) -> None:
        self.ttl_seconds = ttl.total_seconds()
        self.max_bytes = max_bytes
        self.bytes = 0
        self.entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        expires_at, value = self.entries.get(key, (0.0, b""))
        if expires_at <= time.monotonic():
            self.drop(key)
            return None
        self.entries.move_to_end(key)
        return value

    async def set(self, key: str, value: bytes) -> None:
        self.drop(key)
        if size(key, value) > self.max_bytes:
            return  # it would evict all others, and then itself
        self.entries[key] = (time.monotonic() + self.ttl_seconds, value)
        self.bytes += size(key, value)
        while self.bytes > self.max_bytes:
            self.drop(next(iter(self.entries)))

    def drop(self, key: str) -> None:
        if key in self.entries:
            self.bytes -= size(key, self.entries.pop(key)[1])


def size(key: str, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OVERHEAD_BYTES


class Cache:
    """Computes missing entries, once per process for concurrent callers.

    There is no invalidation: a key contains the generation of its resource (see `app/crud/generation.py`), and old
    keys are never requested again.
    """

    def __init__(
        self, redis_url: str | None = None, prefix: str = PREFIX, *, ttl: timedelta = TTL, retry: timedelta = RETRY
    ) -> None:
        self.local = LocalStore(ttl=ttl)
        self.redis = open_redis(redis_url, prefix, ttl) if redis_url else None
        self.fallback = Fallback(
            self.redis.errors if self.redis else (),
            "redis unreachable: each process caches on its own",
            "redis is back: the cache is shared again",
            retry=retry,
        )
        self.locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    def from_settings(cls, settings: Settings, prefix: str = PREFIX) -> Self:
        """`prefix` is the deployment's, from `redis_prefix`."""
        return cls(settings.redis_url.get_secret_value() if settings.redis_url else None, prefix)

    async def get_or_create(self, key: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The entry, created by `make` if missing. Exceptions of `make` propagate."""
        if (entry := await self.ask(lambda store: store.get(key))) is not None:
            return entry
        lock = self.locks.setdefault(key, asyncio.Lock())
        async with lock:
            if (entry := await self.ask(lambda store: store.get(key))) is None:
                entry = made = await make()
                await self.ask(lambda store: store.set(key, made))
        return entry

    async def ask[T](self, question: Callable[[Store], Awaitable[T]]) -> T:
        shared, local = self.redis, self.local
        if shared is None:
            return await question(local)
        return await self.fallback.ask(lambda: question(shared), lambda: question(local))

    async def close(self) -> None:
        if self.redis is not None:
            await self.redis.close()


def open_redis(url: str, prefix: str, ttl: timedelta) -> "RedisStore":
    from app.core.cache.redis import RedisStore  # noqa: PLC0415 - the library takes 10 MB

    return RedisStore(url, prefix, ttl)
