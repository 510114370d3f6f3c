"""Moving windows: the same in one process and on Redis, and what happens when Redis goes."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
import time_machine
from redis import Redis

from app.core.cache import redis
from app.core.config.settings import Settings
from app.core.errors import RateLimitedError
from app.core.fallback import Fallback
from app.core.limits.ratelimit import RateLimiter, Verdict, digest, tightest
from app.core.observability.logging import configure_logging
from tests.redis import free_port, need_redis, own_redis

LOST = "redis unreachable: each process counts rate limits on its own"
BACK = "redis is back: rate limits are shared again"
COUNT_FIVE = """
import asyncio, sys
from app.core.limits.ratelimit import RateLimiter

async def main():
    limiter = RateLimiter(sys.argv[1])
    print(sum([(await limiter.hit("7/minute", sys.argv[2])).allowed for _ in range(5)]))
    await limiter.close()

asyncio.run(main())
"""


@pytest.fixture(params=["process", "redis"])
async def limiter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RateLimiter]:
    # A busy machine must not look like a Redis that is gone.
    monkeypatch.setattr(redis, "TIMEOUT_SECONDS", 30)
    limiter = RateLimiter(need_redis() if request.param == "redis" else None)
    yield limiter
    assert not limiter.fallback.is_down
    await limiter.close()


@pytest.fixture
def key() -> str:
    """Nobody else's: Redis remembers between tests."""
    return uuid4().hex


async def test_what_fits_is_allowed_and_counted_down(limiter: RateLimiter, key: str) -> None:
    verdicts = [await limiter.hit("3/minute", key) for _ in range(4)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
    assert [verdict.remaining for verdict in verdicts] == [2, 1, 0, 0]
    assert {verdict.limit for verdict in verdicts} == {3}
    assert all(59 <= verdict.reset_seconds <= 60 for verdict in verdicts)


async def test_checking_counts_nothing(limiter: RateLimiter, key: str) -> None:
    assert await limiter.check("2/minute", key) == Verdict(True, 2, 2, 60)
    for _ in range(5):
        assert (await limiter.check("2/minute", key)).allowed
    await limiter.hit("2/minute", key)
    await limiter.hit("2/minute", key)
    verdict = await limiter.check("2/minute", key)
    assert (verdict.allowed, verdict.remaining) == (False, 0)


async def test_what_is_cleared_starts_anew_in_every_window(limiter: RateLimiter, key: str) -> None:
    rate = "1/minute;1/hour"
    await limiter.hit(rate, key)
    assert not (await limiter.hit(rate, key)).allowed
    await limiter.clear(rate, key)
    assert (await limiter.hit(rate, key)).allowed


async def test_the_window_moves_with_each_hit(limiter: RateLimiter, key: str) -> None:
    """A fixed window would let four through around its border."""
    with time_machine.travel("2026-01-01T00:00:50Z", tick=False) as clock:
        assert (await limiter.hit("2/minute", key)).allowed
        clock.shift(30)
        assert (await limiter.hit("2/minute", key)).allowed
        refused = await limiter.hit("2/minute", key)
        assert (refused.allowed, refused.reset_seconds) == (False, 30)
        clock.shift(30.5)
        again = await limiter.hit("2/minute", key)
        assert (again.allowed, again.remaining) == (True, 0)
        assert not (await limiter.hit("2/minute", key)).allowed


async def test_all_windows_are_checked_and_the_tightest_is_told(limiter: RateLimiter, key: str) -> None:
    rate = "3/hour; 2/minute"
    with time_machine.travel("2026-01-01T00:00:00Z", tick=False) as clock:
        assert await limiter.hit(rate, key) == Verdict(True, 2, 1, 60)
        assert await limiter.hit(rate, key) == Verdict(True, 2, 0, 60)
        assert await limiter.hit(rate, key) == Verdict(False, 2, 0, 60)
        clock.shift(61)
        assert await limiter.hit(rate, key) == Verdict(True, 3, 0, 3600 - 61)
        clock.shift(61)
        assert await limiter.hit(rate, key) == Verdict(False, 3, 0, 3600 - 122)
        # Refused by the hour, it did not count in the minute.
        assert (await limiter.check("2/minute", key)).remaining == 2


async def test_a_window_named_twice_counts_once(limiter: RateLimiter, key: str) -> None:
    assert (await limiter.hit("2/minute;2/minute", key)).remaining == 1


async def test_no_key_collides_with_another(limiter: RateLimiter, key: str) -> None:
    keys = [(key, "a", "b"), (key, "a/b"), (key, "ab"), (key, "a", "b", ""), (f"{key}a", "b"), (key, '"a", "b'), (key,)]
    for parts in keys:
        assert (await limiter.hit("1/minute", *parts)).allowed, parts
    assert len({digest(parts) for parts in keys}) == len(keys)


async def test_of_a_hundred_at_once_no_more_than_the_limit_get_through(limiter: RateLimiter, key: str) -> None:
    verdicts = await asyncio.gather(*(limiter.hit("10/minute", key) for _ in range(100)))
    assert sum(verdict.allowed for verdict in verdicts) == 10


async def test_any_text_can_be_a_key(limiter: RateLimiter, key: str) -> None:
    for part in ("", "\0", "ünï", "\ud800", "x" * 100_000):
        assert (await limiter.hit("1/minute", key, part)).allowed


async def test_redis_holds_no_address_and_forgets(key: str) -> None:
    url = need_redis()
    limiter = RateLimiter(url)
    await limiter.hit("5/minute", key, "alice@example.com")
    await limiter.close()
    name = f"strata:limit:LIMITER/{digest((key, 'alice@example.com'))}/5/1/minute"
    with Redis.from_url(url) as redis:
        assert 0 < redis.ttl(name) <= 60
        assert not list(redis.scan_iter("*alice*"))


async def test_several_processes_share_what_redis_counts(key: str) -> None:
    url = need_redis()
    command = [sys.executable, "-c", COUNT_FIVE, url, key]
    processes = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(2)]
    outputs = [await process.communicate() for process in processes]
    assert sum(int(output) for output, _ in outputs) == 7


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, settings: Settings) -> Callable[[], list[str]]:
    """What the module has logged so far, in the order it was."""
    configure_logging(settings)
    name = Fallback.__module__
    # structlog hands the whole event over as the message.
    return lambda: [cast("dict[str, str]", record.msg)["event"] for record in caplog.records if record.name == name]


async def test_without_redis_each_process_counts_alone_until_it_is_back(
    key: str, tmp_path: Path, logged: Callable[[], list[str]]
) -> None:
    port = free_port()
    with own_redis(tmp_path, port) as url:
        limiter = RateLimiter(url, retry=timedelta(milliseconds=200))
        assert (await limiter.hit("2/minute", key)).remaining == 1
    first = await asyncio.gather(*(limiter.hit("2/minute", key) for _ in range(10)))
    assert sum(verdict.allowed for verdict in first) == 2, "the process has a count of its own"
    await asyncio.sleep(0.3)
    assert not (await limiter.hit("2/minute", key)).allowed, "it tried again, in vain"
    with own_redis(tmp_path, port):
        await asyncio.sleep(0.3)
        back = await asyncio.gather(*(limiter.hit("2/minute", key) for _ in range(10)))
        assert any(verdict.allowed for verdict in back), "the new Redis knows nothing yet"
        assert not limiter.fallback.is_down
    await limiter.close()
    assert logged() == [LOST, BACK]


async def test_a_dead_redis_costs_nothing_between_two_tries(key: str, logged: Callable[[], list[str]]) -> None:
    limiter = RateLimiter(f"redis://127.0.0.1:{free_port()}")
    await limiter.hit("9/minute", key)
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(500):
        await limiter.hit("9/minute", key)
    assert loop.time() - started < 0.5
    await limiter.close()
    assert logged() == [LOST]


async def test_a_redis_that_hangs_is_given_up_soon(key: str) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    limiter = RateLimiter(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
    async with asyncio.timeout(2):
        verdicts = await asyncio.gather(*(limiter.hit("5/minute", key) for _ in range(60)))
    assert sum(verdict.allowed for verdict in verdicts) == 5
    await limiter.close()
    silent.close()
    await silent.wait_closed()


async def test_a_password_that_redis_refuses_stops_nobody(key: str, tmp_path: Path) -> None:
    with own_redis(tmp_path, None, "--requirepass", "right") as url:
        limiter = RateLimiter(url.replace("redis://", "redis://:wrong@"))
        assert (await limiter.hit("5/minute", key)).allowed
        assert limiter.fallback.is_down
        await limiter.close()


def test_a_refusal_tells_when_to_come_back() -> None:
    assert Verdict(True, 5, 0, 9).require() == Verdict(True, 5, 0, 9)
    with pytest.raises(RateLimitedError) as refused:
        Verdict(False, 5, 0, 9).require()
    assert refused.value.headers == {
        "RateLimit-Limit": "5",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "9",
        "Retry-After": "9",
    }


def test_the_tightest_is_what_a_client_runs_into_first() -> None:
    wide, narrow = Verdict(True, 300, 250, 60), Verdict(True, 10, 3, 60)
    hour, day = Verdict(False, 20, 0, 3000), Verdict(False, 50, 0, 80_000)
    assert tightest(wide, narrow) == narrow
    assert tightest(narrow, hour, day) == day


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://host:port", "redis:", "nonsense"])
def test_a_senseless_redis_url_is_refused_at_start(settings: Settings, url: str) -> None:
    with pytest.raises(ValueError, match="REDIS_URL: must be like redis://"):
        Settings.model_validate(settings.model_dump() | {"redis_url": url})


@pytest.mark.parametrize("url", ["redis://localhost", "rediss://:secret@host:6380/1", "unix:///run/redis.sock?db=1"])
def test_every_kind_of_redis_url_opens(settings: Settings, url: str) -> None:
    checked = Settings.model_validate(settings.model_dump() | {"redis_url": url, "rate_limit_enabled": True})
    limiter = RateLimiter.from_settings(checked)
    assert limiter is not None
    assert limiter.redis is not None
