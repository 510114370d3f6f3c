"""Several deployments on one Redis: each counts and caches for itself, and its instances do so together."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import URL

from app.core.cache import redis
from app.core.config.settings import Settings
from tests.conftest import SECRET, connected, running, settings_for
from tests.factories import PASSWORD, Factory
from tests.redis import own_redis

pytestmark = pytest.mark.real_database

LOGIN = "/api/v1/auth/login"
BOOKS = "/api/v1/books"
NEW_SECRET = "q7Vd0mXbN3zLr9TjKcYh5WgPfAuEi1So8Bx2Ry6C"


class Instance:
    def __init__(self, client: httpx.AsyncClient, make: Factory) -> None:
        self.client = client
        self.make = make

    async def sign_in(self, username: str, password: str) -> int:
        return (await self.client.post(LOGIN, data={"username": username, "password": password})).status_code

    async def statuses(self, times: int) -> list[int]:
        return [(await self.client.get(BOOKS)).status_code for _ in range(times)]


type Start = Callable[..., Awaitable[Instance]]


@pytest.fixture
def urls(real_url: URL, another_url: URL) -> tuple[URL, URL]:
    return real_url, another_url


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Starts an instance on a database; all that a test starts have one Redis."""
    # A busy machine must not look like a Redis that is gone.
    monkeypatch.setattr(redis, "TIMEOUT_SECONDS", 30)
    with own_redis(tmp_path) as redis_url:
        async with AsyncExitStack() as stack:

            async def start(url: URL, **changes: object) -> Instance:
                limits = {
                    "rate_limit_enabled": True,
                    "rate_limit_default": "2/minute",
                    "rate_limit_login": "100/minute",
                }
                settings: Settings = settings_for(url, tmp_path, redis_url=redis_url, **(limits | changes))
                _, manager, services = await stack.enter_async_context(running(settings))
                return Instance(await stack.enter_async_context(connected(manager.app)), Factory(services))

            yield start


async def test_who_is_at_the_limit_of_one_deployment_is_not_at_that_of_another(
    start: Start, urls: tuple[URL, URL]
) -> None:
    one, other = await start(urls[0]), await start(urls[1])
    assert await one.statuses(3) == [200, 200, 429]
    assert await other.statuses(3) == [200, 200, 429]


async def test_who_is_locked_out_of_one_deployment_is_not_out_of_another(start: Start, urls: tuple[URL, URL]) -> None:
    one, other = [await start(url, rate_limit_default="100/minute", rate_limit_login="3/minute") for url in urls]
    await other.make.user(username="alice")
    wrong = [await one.sign_in("alice", "not her password") for _ in range(4)]
    assert wrong == [401, 401, 401, 429]
    assert await other.sign_in("alice", PASSWORD) == 200


async def test_instances_of_one_deployment_count_together_whatever_key_each_has(
    start: Start, urls: tuple[URL, URL]
) -> None:
    old = await start(urls[0])
    new = await start(urls[0], jwt_secret_key=NEW_SECRET, jwt_previous_keys=SECRET)
    assert await old.statuses(1) == [200]
    assert await new.statuses(1) == [200]
    assert await old.statuses(1) == [429]
    assert await new.statuses(1) == [429]


async def test_each_deployment_has_its_own_answers_where_they_share_a_key(start: Start, urls: tuple[URL, URL]) -> None:
    one, other = await start(urls[0]), await start(urls[1])
    await add_book(one, "Of the one")
    await add_book(other, "Of the other")
    assert [await titles(one), await titles(other)] == [["Of the one"], ["Of the other"]]


async def test_a_prefix_that_is_set_counts_and_nothing_else(start: Start, urls: tuple[URL, URL]) -> None:
    one, other = await start(urls[0], redis_prefix="shop"), await start(urls[0], redis_prefix="shop:2")
    same = await start(urls[1], redis_prefix="shop")
    assert await one.statuses(2) == [200, 200]
    assert await other.statuses(1) == [200]
    assert await same.statuses(1) == [429]


async def add_book(instance: Instance, title: str) -> None:
    headers = await instance.make.bearer(await instance.make.admin())
    book = {"title": title, "author": "Somebody", "release_year": 2001}
    assert (await instance.client.post(BOOKS, json=book, headers=headers)).status_code == 201


async def titles(instance: Instance) -> list[str]:
    return [book["title"] for book in (await instance.client.get(BOOKS)).json()["items"]]
