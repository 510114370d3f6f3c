"""Windows in one process: how many keys there are at most, and which are forgotten first."""

import sys
from collections.abc import Iterable

import pytest
import time_machine

from app.core.limits import windows
from app.core.limits.ratelimit import RateLimiter, digest, known_digest
from app.core.limits.windows import LocalWindows

RATE = "5/minute"


@pytest.fixture
def limiter() -> RateLimiter:
    return RateLimiter()


def counted(limiter: RateLimiter) -> dict[str, int]:
    """How many hits each key has."""
    assert isinstance(limiter.local, LocalWindows)
    return {key: len(hits) for keys in limiter.local.of_limits.values() for key, hits in keys.items()}


async def hit(limiter: RateLimiter, names: Iterable[object], times: int = 1) -> None:
    for name in names:
        for _ in range(times):
            await limiter.hit(RATE, str(name))


async def test_keys_that_ran_out_are_dropped_in_passing(limiter: RateLimiter) -> None:
    with time_machine.travel("2026-01-01T00:00:00Z", tick=False) as clock:
        await hit(limiter, range(1000))
        clock.shift(61)
        await hit(limiter, range(1000, 1500))
        assert counted(limiter) == {digest((str(number),)): 1 for number in range(1000, 1500)}


async def test_one_more_key_than_there_may_be_costs_another_its_place(
    limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "MAX_KEYS", 100)
    await hit(limiter, range(150))
    assert len(counted(limiter)) == 100
    assert digest(("149",)) in counted(limiter)


async def test_a_flood_of_names_makes_nobody_forget_the_guesses_at_one(
    limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "MAX_KEYS", 100)
    await hit(limiter, ["alice"], times=5)
    await hit(limiter, ["bob"], times=2)
    await hit(limiter, range(5000))
    assert not (await limiter.check(RATE, "alice")).allowed
    assert (await limiter.check(RATE, "bob")).remaining == 3


async def test_each_limit_has_keys_of_its_own(limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MAX_KEYS", 10)
    await limiter.hit("5/hour", "alice")
    await hit(limiter, range(100))
    assert (await limiter.check("5/hour", "alice")).remaining == 4


async def test_a_key_takes_a_few_hundred_bytes_at_most(limiter: RateLimiter) -> None:
    await limiter.hit(RATE, "x" * 1_000_000)
    assert isinstance(limiter.local, LocalWindows)
    [(key, hits)] = [pair for keys in limiter.local.of_limits.values() for pair in keys.items()]
    assert sys.getsizeof(key) + sys.getsizeof(hits) < 250


def test_a_long_key_is_not_remembered() -> None:
    before = known_digest.cache_info()
    long = "x" * 1_000_000
    assert digest((long,)) == digest((long,)) != digest((f"{long}x",))
    assert known_digest.cache_info() == before
