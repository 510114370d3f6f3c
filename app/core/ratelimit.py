"""How often something may happen: moving windows, kept in this process or shared by all on Redis."""

import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING, Protocol, Self

from limits import RateLimitItem, WindowStats, parse_many
from limits.errors import StorageError

from app.core.config import Settings
from app.core.errors import RateLimitedError
from app.core.fallback import RETRY, Fallback

if TYPE_CHECKING:
    from app.core.redis import RedisWindows

SWEEP_AT_KEYS = 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tightest of the windows says; `reset_seconds` is when it next has room for one more."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """As in draft-ietf-httpapi-ratelimit-headers up to version 7, which is what clients know."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }

    def require(self) -> Self:
        """Raises RateLimitedError if there is no room."""
        if not self.allowed:
            raise RateLimitedError(self.reset_seconds, self.headers)
        return self


def tightest(*verdicts: Verdict) -> Verdict:
    """The one that a client runs into first; of those it has run into, the one that holds it longest."""
    return min(verdicts, key=lambda verdict: (verdict.allowed, verdict.remaining, -verdict.reset_seconds))


class Windows(Protocol):
    """The part of `limits.aio.strategies.MovingWindowRateLimiter` that is used here."""

    async def hit(self, item: RateLimitItem, /, *identifiers: str) -> bool: ...
    async def get_window_stats(self, item: RateLimitItem, /, *identifiers: str) -> WindowStats: ...
    async def clear(self, item: RateLimitItem, /, *identifiers: str) -> None: ...


@dataclass(slots=True)
class Window:
    """When each counted hit of one key was, the oldest first; never more than the limit."""

    seconds: int
    hits: deque[float] = field(default_factory=deque)

    def forget_before_now(self, now: float) -> None:
        while self.hits and self.hits[0] <= now - self.seconds:
            self.hits.popleft()

    def counts_at(self, now: float) -> bool:
        return bool(self.hits) and self.hits[-1] > now - self.seconds


class LocalWindows:
    """Moving windows in this process.

    In place of `limits.aio.storage.MemoryStorage`, which after every hit walks over all keys with one thread
    hop each (~80 µs of CPU a key) and fails in the background on a key that was cleared meanwhile.
    """

    def __init__(self) -> None:
        self.windows: dict[str, Window] = {}
        self.sweep_at = SWEEP_AT_KEYS

    async def hit(self, item: RateLimitItem, /, *identifiers: str) -> bool:
        now = time.time()
        self.sweep(now)
        window = self.windows.setdefault(item.key_for(*identifiers), Window(item.get_expiry()))
        window.forget_before_now(now)
        if len(window.hits) >= item.amount:
            return False
        window.hits.append(now)
        return True

    async def get_window_stats(self, item: RateLimitItem, /, *identifiers: str) -> WindowStats:
        now = time.time()
        window = self.windows.get(item.key_for(*identifiers)) or Window(item.get_expiry())
        window.forget_before_now(now)
        oldest = window.hits[0] if window.hits else now
        return WindowStats(oldest + window.seconds, item.amount - len(window.hits))

    async def clear(self, item: RateLimitItem, /, *identifiers: str) -> None:
        self.windows.pop(item.key_for(*identifiers), None)

    def sweep(self, now: float) -> None:
        """Drop what has run out whenever the keys have doubled, so that a hit pays for it with O(1)."""
        if len(self.windows) < self.sweep_at:
            return
        self.windows = {key: window for key, window in self.windows.items() if window.counts_at(now)}
        self.sweep_at = max(SWEEP_AT_KEYS, 2 * len(self.windows))


class RateLimiter:
    """Counts on Redis where there is one, and by itself while that does not answer.

    A rate is text as the library `limits` reads it, `10/minute` or several, `10/minute;50/day`.
    A key is what is counted, in as many parts as it takes: ("login", "192.0.2.1").
    """

    def __init__(self, redis_url: str | None = None, *, retry: timedelta = RETRY) -> None:
        self.local: Windows = LocalWindows()
        self.redis = open_redis(redis_url) if redis_url else None
        self.shared: Windows | None = self.redis.windows if self.redis else None
        self.fallback = Fallback(
            (StorageError,),
            "redis lost: each process counts its rate limits alone",
            "redis is back: rate limits are shared again",
            retry=retry,
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """None where limits are switched off."""
        if not settings.rate_limit_enabled:
            return None
        return cls(settings.redis_url.get_secret_value() if settings.redis_url else None)

    async def ping(self) -> None:
        """Raises RedisError or OSError if there is a Redis, and it does not answer."""
        if self.redis is not None:
            await self.redis.ping()

    async def close(self) -> None:
        if self.redis is not None:
            await self.redis.close()

    async def hit(self, rate: str, *key: str) -> Verdict:
        """Count one if every window has room for it; what is refused counts in none."""
        return await self.ask(lambda windows: hit_all(windows, windows_of(rate), digest(key)))

    async def check(self, rate: str, *key: str) -> Verdict:
        """Whether one more would be allowed; counts nothing."""
        return await self.ask(lambda windows: check_all(windows, windows_of(rate), digest(key)))

    async def clear(self, rate: str, *key: str) -> None:
        """Forget all that was counted."""
        await self.ask(lambda windows: clear_all(windows, windows_of(rate), digest(key)))

    async def ask[T](self, question: Callable[[Windows], Awaitable[T]]) -> T:
        shared, local = self.shared, self.local
        if shared is None:
            return await question(local)
        return await self.fallback.ask(lambda: question(shared), lambda: question(local))


def open_redis(url: str) -> "RedisWindows":
    from app.core.redis import RedisWindows  # noqa: PLC0415 - its library costs those who use none 10 MB

    return RedisWindows(url)


@lru_cache(maxsize=128)
def windows_of(rate: str) -> list[RateLimitItem]:
    """The windows of a rate, shortest first, none twice (it would count double)."""
    return sorted(set(parse_many(rate)), key=lambda item: item.get_expiry())


def digest(key: tuple[str, ...]) -> str:
    """One name for a key of any parts: no two keys share it, and it tells no address or name."""
    return sha256(json.dumps(key).encode()).hexdigest()


async def check_all(windows: Windows, items: list[RateLimitItem], key: str) -> Verdict:
    return tightest(*[await look(windows, item, key, allowed=None) for item in items])


async def hit_all(windows: Windows, items: list[RateLimitItem], key: str) -> Verdict:
    if len(items) > 1 and not (before := await check_all(windows, items, key)).allowed:
        return before
    return tightest(*[await look(windows, item, key, allowed=await windows.hit(item, key)) for item in items])


async def clear_all(windows: Windows, items: list[RateLimitItem], key: str) -> None:
    for item in items:
        await windows.clear(item, key)


async def look(windows: Windows, item: RateLimitItem, key: str, *, allowed: bool | None) -> Verdict:
    """One window's verdict: what a hit was told, or None to see whether there is room for one."""
    stats = await windows.get_window_stats(item, key)
    reset_seconds = min(max(1, ceil(stats.reset_time - time.time())), item.get_expiry())
    if allowed is None:
        allowed = stats.remaining > 0
    return Verdict(allowed, item.amount, max(0, stats.remaining) if allowed else 0, reset_seconds)
