"""How often something may happen: moving windows, kept in this process or shared by all on Redis."""

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


# What clients choose the length of is not kept.
MAX_KNOWN_LENGTH = 100
DIGEST_LENGTH = 32  # hexadecimal digits: 128 bits

type Question[T] = Callable[[Windows, list[Limit], str], Awaitable[T]]


class Verdict(NamedTuple):
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


class RateLimiter:
    """Counts on Redis where there is one, and by itself while that does not answer.

    A rate is text as the library `limits` reads it, `10/minute` or several, `10/minute;50/day`.
    A key is what is counted, in as many parts as it takes: ("login", "192.0.2.1").
    """

    def __init__(self, redis_url: str | None = None, prefix: str = PREFIX, *, retry: timedelta = RETRY) -> None:
        self.local: Windows = LocalWindows()
        self.redis = open_redis(redis_url, prefix) if redis_url else None
        self.shared: Windows | None = self.redis
        self.fallback = Fallback(
            (StorageError,),
            "redis lost: each process counts its rate limits alone",
            "redis is back: rate limits are shared again",
            retry=retry,
        )

    @classmethod
    def from_settings(cls, settings: Settings, prefix: str = PREFIX) -> Self | None:
        """None where limits are switched off; `prefix` is the deployment's, of `redis_prefix`."""
        if not settings.rate_limit_enabled:
            return None
        return cls(settings.redis_url.get_secret_value() if settings.redis_url else None, prefix)

    async def ping(self) -> None:
        """Raises RedisError or OSError if there is a Redis, and it does not answer."""
        if self.redis is not None:
            await self.redis.ping()

    async def close(self) -> None:
        if self.redis is not None:
            await self.redis.close()

    async def hit(self, rate: str, *key: str) -> Verdict:
        """Count one if every window has room for it; what is refused counts in none."""
        if self.shared is None:
            return await hit_all(self.local, limits_of(rate), digest(key))
        return await self.ask(hit_all, rate, key)

    async def check(self, rate: str, *key: str) -> Verdict:
        """Whether one more would be allowed; counts nothing."""
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
    """One name for a key, whose last part clients may choose: no two keys share it, and it tells no address or name."""
    return known_digest(key) if len(key[-1]) <= MAX_KNOWN_LENGTH else make_digest(key)


def make_digest(key: tuple[str, ...]) -> str:
    return sha256(json.dumps(key).encode()).hexdigest()[:DIGEST_LENGTH]


# Of ids and addresses, which come with every request.
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
