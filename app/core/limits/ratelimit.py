"""Rate limits by moving windows, in this process or shared on Redis."""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING, NamedTuple, Self

from limits import WindowStats, parse_many
from limits.errors import StorageError

from app.core.config.deployment import PREFIX
from app.core.config.settings import Settings
from app.core.errors import RateLimitedError
from app.core.fallback import RETRY, Fallback
from app.core.limits.windows import Limit, LocalWindows, Windows

if TYPE_CHECKING:
    from app.core.limits.redis_windows import RedisWindows


# Keys are hashed, since clients choose their length.
MAX_KNOWN_LENGTH = 100
DIGEST_LENGTH = 32  # hexadecimal digits: 128 bits

type Question[T] = Callable[[Windows, list[Limit], str], Awaitable[T]]


class Verdict(NamedTuple):
    """The state of the tightest window; `reset_seconds` is the time until it has room for one more."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """draft-ietf-httpapi-ratelimit-headers up to version 7, which clients support."""
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
    """The limit that a client reaches first; among reached ones, that with the longest wait."""
    return min(verdicts, key=lambda verdict: (verdict.allowed, verdict.remaining, -verdict.reset_seconds))


class RateLimiter:
    """Counts on Redis if configured, and in the process while Redis is unreachable.

    A rate is text in the syntax of the library `limits`, `10/minute` or several, `10/minute;50/day`.
    A key has any number of parts: ("login", "192.0.2.1").
    """

    def __init__(self, redis_url: str | None = None, prefix: str = PREFIX, *, retry: timedelta = RETRY) -> None:
        self.local: Windows = LocalWindows()
        self.redis = open_redis(redis_url, prefix) if redis_url else None
        self.shared: Windows | None = self.redis
        self.fallback = Fallback(
            (StorageError,),
            "redis unreachable: each process counts rate limits on its own",
            "redis is back: rate limits are shared again",
            retry=retry,
        )

    @classmethod
    def from_settings(cls, settings: Settings, prefix: str = PREFIX) -> Self | None:
        """None if limits are disabled; `prefix` is the deployment's, from `redis_prefix`."""
        if not settings.rate_limit_enabled:
            return None
        return cls(settings.redis_url.get_secret_value() if settings.redis_url else None, prefix)

    async def ping(self) -> None:
        """Raises RedisError or OSError if Redis is configured and does not respond."""
        if self.redis is not None:
            await self.redis.ping()

    async def close(self) -> None:
        if self.redis is not None:
            await self.redis.close()

    async def hit(self, rate: str, *key: str) -> Verdict:
        """Count one hit if every window has room for it; a rejected hit counts in none."""
        if self.shared is None:
            return await hit_all(self.local, limits_of(rate), digest(key))
        return await self.ask(hit_all, rate, key)

    async def check(self, rate: str, *key: str) -> Verdict:
        """Whether one more hit would be allowed; does not count."""
        return await self.ask(check_all, rate, key)

    async def clear(self, rate: str, *key: str) -> None:
        """Forget all that was counted."""
        await self.ask(clear_all, rate, key)

    async def ask[T](self, question: Question[T], rate: str, key: tuple[str, ...]) -> T:
        shared, local, limits, name = self.shared, self.local, limits_of(rate), digest(key)
        if shared is None:
            return await question(local, limits, name)
        return await self.fallback.ask(lambda: question(shared, limits, name), lambda: question(local, limits, name))


def open_redis(url: str, prefix: str) -> "RedisWindows":
    from app.core.limits.redis_windows import RedisWindows  # noqa: PLC0415 - its library costs those who use none 10 MB

    return RedisWindows(url, prefix)


@lru_cache(maxsize=128)
def limits_of(rate: str) -> list[Limit]:
    """The windows of a rate, shortest first, none twice (it would count double)."""
    items = sorted(set(parse_many(rate)), key=lambda item: item.get_expiry())
    return [Limit(item, item.amount, item.get_expiry()) for item in items]


def digest(key: tuple[str, ...]) -> str:
    """A digest of a key: collision-free although clients choose the last part, and free of addresses and names."""
    return known_digest(key) if len(key[-1]) <= MAX_KNOWN_LENGTH else make_digest(key)


def make_digest(key: tuple[str, ...]) -> str:
    return sha256(json.dumps(key).encode()).hexdigest()[:DIGEST_LENGTH]


# For ids and addresses, which come with every request.
known_digest = lru_cache(maxsize=4096)(make_digest)


async def check_all(windows: Windows, limits: list[Limit], key: str) -> Verdict:
    stats = [await windows.look(limit, key) for limit in limits]
    return tightest(*(verdict(limit, each, each.remaining > 0) for limit, each in zip(limits, stats, strict=True)))


async def hit_all(windows: Windows, limits: list[Limit], key: str) -> Verdict:
    if len(limits) > 1 and not (before := await check_all(windows, limits, key)).allowed:
        return before
    found = []
    for limit in limits:
        has_room, stats = await windows.hit(limit, key)
        found.append(verdict(limit, stats, has_room))
    return found[0] if len(found) == 1 else tightest(*found)


async def clear_all(windows: Windows, limits: list[Limit], key: str) -> None:
    for limit in limits:
        await windows.clear(limit, key)


def verdict(limit: Limit, stats: WindowStats, allowed: bool) -> Verdict:
    reset_seconds = min(max(1, ceil(stats.reset_time - time.time())), limit.seconds)
    return Verdict(allowed, limit.amount, max(0, stats.remaining) if allowed else 0, reset_seconds)
