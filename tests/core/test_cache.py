"""Entries that are made once: the same in one process and on Redis, and what happens when Redis goes."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from redis import Redis

from app.core.cache import redis
from app.core.cache.cache import ENTRY_OVERHEAD_BYTES, Cache, LocalStore
from app.core.config.settings import Settings
from app.core.observability.logging import configure_logging
from tests.redis import free_port, need_redis, own_redis

LOST = "redis unreachable: each process caches on its own"
BACK = "redis is back: the cache is shared again"
TTL = timedelta(milliseconds=300)


class Maker:
    """Makes a value of its own each time, after a moment, and counts how often."""

    def __init__(self, failures: int = 0) -> None:
        self.made = 0
        self.failures = failures

    async def __call__(self) -> bytes:
        self.made += 1
        await asyncio.sleep(0.02)
        if self.made <= self.failures:
            raise LookupError(self.made)
        return f"made {self.made}".encode()


@pytest.fixture(params=["process", "redis"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    # A busy machine must not look like a Redis that is gone.
    monkeypatch.setattr(redis, "TIMEOUT_SECONDS", 30)
    return need_redis() if request.param == "redis" else None


@pytest.fixture
async def cache(url: str | None) -> AsyncIterator[Cache]:
    cache = Cache(url, ttl=TTL)
    yield cache
    assert not cache.fallback.is_down
    await cache.close()


@pytest.fixture
def key() -> str:
    """Nobody else's: Redis remembers between tests."""
    return uuid4().hex


async def test_what_was_made_is_not_made_again(cache: Cache, key: str) -> None:
    make = Maker()
    assert [await cache.get_or_create(key, make) for _ in range(3)] == [b"made 1"] * 3
    assert await cache.get_or_create(f"{key}:2", make) == b"made 2", "another key is another entry"
    assert await cache.get_or_create(key, make) == b"made 1"


@pytest.mark.parametrize("value", [b"", b"\0\xff\n", b"x" * 1_000_000])
async def test_any_bytes_are_an_entry(cache: Cache, key: str, value: bytes) -> None:
    async def make() -> bytes:
        return value

    async def never() -> bytes:
        raise AssertionError("it is there")

    assert await cache.get_or_create(key, make) == value
    assert await cache.get_or_create(key, never) == value


async def test_an_entry_that_is_too_old_is_made_anew(cache: Cache, key: str) -> None:
    make = Maker()
    assert await cache.get_or_create(key, make) == b"made 1"
    await asyncio.sleep(TTL.total_seconds() + 0.05)
    assert await cache.get_or_create(key, make) == b"made 2"


async def test_fifty_that_ask_at_once_share_what_one_makes(cache: Cache, key: str) -> None:
    make = Maker()
    entries = await asyncio.gather(*(cache.get_or_create(key, make) for _ in range(50)))
    assert set(entries) == {b"made 1"}
    assert make.made == 1
    gc.collect()
    assert not cache.locks, "nothing is kept of those who waited"


async def test_different_keys_do_not_wait_for_each_other(cache: Cache, key: str) -> None:
    gate = asyncio.Event()

    async def slow() -> bytes:
        await gate.wait()
        return b"slow"

    waiting = asyncio.create_task(cache.get_or_create(key, slow))
    assert await cache.get_or_create(f"{key}:2", Maker()) == b"made 1"
    assert not waiting.done()
    gate.set()
    assert await waiting == b"slow"


async def test_a_failure_is_passed_on_and_not_kept(cache: Cache, key: str) -> None:
    make = Maker(failures=1)
    with pytest.raises(LookupError):
        await cache.get_or_create(key, make)
    assert await cache.get_or_create(key, make) == b"made 2"
    assert await cache.get_or_create(key, make) == b"made 2"


async def test_of_many_that_ask_at_once_only_those_who_tried_see_the_failure(cache: Cache, key: str) -> None:
    make = Maker(failures=2)
    results = await asyncio.gather(*(cache.get_or_create(key, make) for _ in range(10)), return_exceptions=True)
    assert [type(result) for result in results].count(LookupError) == 2
    assert results.count(b"made 3") == 8
    assert make.made == 3


async def test_who_gives_up_while_making_leaves_it_to_the_next(cache: Cache, key: str) -> None:
    async def forever() -> bytes:
        await asyncio.Event().wait()
        return b"never"

    first = asyncio.create_task(cache.get_or_create(key, forever))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(cache.get_or_create(key, Maker()))
    await asyncio.sleep(0.02)
    first.cancel()
    assert await second == b"made 1"


# In one process


def store_for(entries: int) -> LocalStore:
    """With room for so many entries of one letter each way."""
    return LocalStore(max_bytes=entries * (ENTRY_OVERHEAD_BYTES + 2))


async def kept(store: LocalStore, keys: str) -> str:
    return "".join([key for key in keys if await store.get(key) is not None])


async def test_of_too_many_entries_the_one_used_least_recently_goes() -> None:
    store = store_for(3)
    for key in "abc":
        await store.set(key, b"x")
    assert await store.get("a") == b"x"
    await store.set("d", b"x")
    assert await kept(store, "abcd") == "acd"
    await store.set("c", b"y")
    await store.set("e", b"x")
    assert await kept(store, "abcde") == "cde"
    assert await store.get("c") == b"y"


async def test_memory_stays_within_its_bounds() -> None:
    store = LocalStore(max_bytes=100_000)
    for number in range(2000):
        await store.set(f"key {number % 700}", b"x" * (number % 997))
        assert store.bytes <= 100_000
    assert store.bytes == sum(len(key) + len(value) + ENTRY_OVERHEAD_BYTES for key, (_, value) in store.entries.items())
    assert len(store.entries) > 50


async def test_an_entry_larger_than_all_there_is_room_for_pushes_nothing_out() -> None:
    store = store_for(3)
    for key in "abc":
        await store.set(key, b"x")
    await store.set("b", b"x" * 10_000)
    assert await kept(store, "abc") == "ac", "nor does the old value stay in its place"


async def test_expired_entries_give_their_room_back_when_they_are_asked_for() -> None:
    store = LocalStore(ttl=timedelta(0))
    await store.set("a", b"x")
    assert await store.get("a") is None
    assert (store.bytes, len(store.entries)) == (0, 0)


# On Redis


async def test_several_processes_share_what_is_on_redis(key: str) -> None:
    one, two = Cache(need_redis()), Cache(need_redis())
    make = Maker()
    assert await one.get_or_create(key, make) == b"made 1"
    assert await two.get_or_create(key, make) == b"made 1"
    await one.close()
    await two.close()


async def test_redis_throws_entries_away_by_itself(key: str) -> None:
    cache = Cache(need_redis(), ttl=timedelta(seconds=60))
    await cache.get_or_create(key, Maker())
    await cache.close()
    with Redis.from_url(need_redis()) as client:
        assert 0 < client.ttl(f"strata:cache:{key}") <= 60


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, settings: Settings) -> Callable[[], list[str]]:
    """What was logged of Redis so far, in the order it was."""
    configure_logging(settings)
    # structlog hands the whole event over as the message.
    return lambda: [
        cast("dict[str, str]", record.msg)["event"] for record in caplog.records if record.name == "app.core.fallback"
    ]


async def test_without_redis_each_process_caches_alone_until_it_is_back(
    key: str, tmp_path: Path, logged: Callable[[], list[str]]
) -> None:
    port = free_port()
    make = Maker()
    with own_redis(tmp_path, port) as url:
        cache = Cache(url, retry=timedelta(milliseconds=200))
        assert await cache.get_or_create(key, make) == b"made 1"
    assert await cache.get_or_create(key, make) == b"made 2", "what was on Redis is gone"
    assert await cache.get_or_create(key, make) == b"made 2", "the process has entries of its own"
    entries = await asyncio.gather(*(cache.get_or_create(f"{key}:2", make) for _ in range(10)))
    assert set(entries) == {b"made 3"}
    await asyncio.sleep(0.3)
    assert await cache.get_or_create(key, make) == b"made 2", "it tried again, in vain"
    with own_redis(tmp_path, port):
        await asyncio.sleep(0.3)
        assert await cache.get_or_create(key, make) == b"made 4", "the new Redis knows nothing yet"
        assert not cache.fallback.is_down
        other = Cache(f"redis://127.0.0.1:{port}/0")
        assert await other.get_or_create(key, make) == b"made 4"
        await other.close()
    await cache.close()
    assert logged() == [LOST, BACK]


async def test_a_dead_redis_costs_nothing_between_two_tries(key: str, logged: Callable[[], list[str]]) -> None:
    cache = Cache(f"redis://127.0.0.1:{free_port()}")
    await cache.get_or_create(key, Maker())
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(500):
        await cache.get_or_create(key, Maker())
    assert loop.time() - started < 0.5
    await cache.close()
    assert logged() == [LOST]


async def test_a_redis_that_hangs_is_given_up_soon(key: str) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    cache = Cache(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
    make = Maker()
    async with asyncio.timeout(3):
        entries = await asyncio.gather(*(cache.get_or_create(key, make) for _ in range(60)))
    assert set(entries) == {b"made 1"}
    await cache.close()
    silent.close()
    await silent.wait_closed()
