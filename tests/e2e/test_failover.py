"""A primary that becomes read-only is left for the one that takes writes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import URL

from app.core.config.settings import Settings
from tests.api.calls import login
from tests.api.test_conventions import assert_problem
from tests.conftest import POSTGRES_URL, connected, end_sessions, run_on_server, running, settings_for
from tests.factories import Factory
from tests.pgbouncer import pgbouncer

BACK_SECONDS = 5

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL"),
]


@asynccontextmanager
async def database_of(url: URL, folder: Path, *, is_pooled: bool) -> AsyncIterator[Settings]:
    """The settings of a service that reaches its database directly or through PgBouncer."""
    if not is_pooled:
        yield settings_for(url, folder)
        return
    with pgbouncer(url, folder) as pooled:
        yield settings_for(pooled, folder, db_pgbouncer=True)


async def make_read_only(url: URL, *, is_read_only: bool) -> None:
    """As a failover does: who connects now meets a server that takes no writes, or one that does again.

    Sessions that are open keep to what they met.
    """
    value = "on" if is_read_only else "off"
    await run_on_server(f'ALTER DATABASE "{url.database}" SET default_transaction_read_only = {value}')


async def ready(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """Asked until it says so: its answers are up to a second old."""
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            answer = await client.get("/ready")
            if answer.status_code == status:
                return answer
            await asyncio.sleep(0.1)


async def write(client: httpx.AsyncClient, headers: dict[str, str]) -> list[httpx.Response]:
    """On the driver alone, in a transaction of SQLAlchemy's, and a sign-in."""
    return [
        await client.post("/api/v1/items", json={"title": "new"}, headers=headers),
        await client.patch("/api/v1/users/me", json={"full_name": "Alice"}, headers=headers),
        await login(client, "alice"),
    ]


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_writes_succeed_seconds_after_a_server_takes_them_again(
    real_url: URL, tmp_path: Path, is_pooled: bool
) -> None:
    async with (
        database_of(real_url, tmp_path, is_pooled=is_pooled) as settings,
        running(settings) as (_, manager, services),
        connected(manager.app) as client,
    ):
        make = Factory(services)
        headers = await make.bearer(await make.user(username="alice"))
        await make_read_only(real_url, is_read_only=True)
        await end_sessions(real_url)
        for answer in await write(client, headers):
            assert_problem(answer, 503, "database_unavailable")
            assert int(answer.headers["retry-after"]) > 0
        assert_problem(await ready(client, 503), 503, "database_unavailable")
        assert (await client.get("/api/v1/items", headers=headers)).status_code == 200, "reads go on"
        await make_read_only(real_url, is_read_only=False)
        if is_pooled:  # which keeps to its server while it has a connection there
            await end_sessions(real_url)
        assert {answer.status_code for answer in await write(client, headers)} <= {200, 201}
        await ready(client, 200)


async def test_a_replica_is_read_only_as_it_should_be(real_url: URL, tmp_path: Path) -> None:
    settings = settings_for(real_url, tmp_path, database_read_url=real_url.render_as_string(hide_password=False))
    async with running(settings) as (_, manager, services), connected(manager.app) as client:
        make = Factory(services)
        headers = await make.bearer(await make.user())
        await make_read_only(real_url, is_read_only=True)
        await services.database.read_engine.dispose()
        for _ in range(3):
            assert (await client.get("/api/v1/items", headers=headers)).status_code == 200
        assert (await client.post("/api/v1/items", json={"title": "new"}, headers=headers)).status_code == 201
        assert (await client.get("/ready")).status_code == 200
