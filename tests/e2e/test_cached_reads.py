"""Cached answers on several instances: a write on one is seen by the next read on another."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest

from app.api.deps import AppServices
from app.core.config.settings import Settings
from tests.conftest import connected, running
from tests.factories import Factory
from tests.redis import need_redis
from tests.statements import statements_on

pytestmark = pytest.mark.real_database
URL = "/api/v1/books"
BOOK = {"title": "The Dispossessed", "author": "Ursula K. Le Guin", "release_year": 1974}

type Instance = tuple[httpx.AsyncClient, AppServices]


@pytest.fixture(params=["in the process", "on Redis"])
async def instances(request: pytest.FixtureRequest, real_settings: Settings) -> AsyncIterator[list[Instance]]:
    """Two applications that share a database, and Redis or not."""
    url = need_redis() if request.param == "on Redis" else None
    # A deployment of its own: on Redis the entries of other tests are there.
    changes = {"redis_url": url, "jwt_secret_key": secrets.token_urlsafe(48)}
    settings = Settings.model_validate(real_settings.model_dump(exclude_none=True) | changes)
    async with AsyncExitStack() as stack:
        found: list[Instance] = []
        for _ in range(2):
            _, manager, services = await stack.enter_async_context(running(settings))
            found.append((await stack.enter_async_context(connected(manager.app)), services))
        yield found


async def test_a_write_on_one_instance_is_seen_by_the_next_read_on_the_other(instances: list[Instance]) -> None:
    (here, services), (there, _) = instances
    make = Factory(services)
    headers = await make.bearer(await make.admin())
    assert (await there.get(URL)).json()["total"] == 0
    made = await here.post(URL, json=BOOK, headers=headers)
    address = made.headers["location"]
    for year in range(1970, 1980):
        await here.patch(address, json={"release_year": year}, headers=headers)
        assert (await there.get(address)).json()["release_year"] == year
        assert [book["release_year"] for book in (await there.get(URL)).json()["items"]] == [year]
    assert (await here.delete(address, headers=headers)).status_code == 204
    assert (await there.get(address)).status_code == 404
    assert (await there.get(URL)).json()["items"] == []


async def test_what_many_ask_for_at_once_is_read_once(instances: list[Instance]) -> None:
    client, services = instances[0]
    make = Factory(services)
    await client.post(URL, json=BOOK, headers=await make.bearer(await make.admin()))
    with statements_on(services.database.engine) as sent:
        answers = await asyncio.gather(*(client.get(URL) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert sum("FROM books" in statement and "ORDER BY" in statement for statement, _ in sent) == 1


async def test_a_write_that_is_rolled_back_makes_nothing_void(instances: list[Instance]) -> None:
    client, services = instances[0]
    make = Factory(services)
    headers = await make.bearer(await make.admin())
    address = (await client.post(URL, json=BOOK, headers=headers)).headers["location"]
    await client.get(URL)
    stale = await client.patch(address, json={"release_year": 1}, headers=headers | {"If-Match": '"9"'})
    assert stale.status_code == 412
    with statements_on(services.database.engine) as sent:
        await client.get(URL)
    assert [statement for statement, _ in sent if "FROM books" in statement] == []
