"""All connections are cut while nobody uses them (a restart, a database that sleeps): no request notices."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.db.engine import Database
from app.core.db.errors import is_connection_failure
from app.core.db.retry import retried
from app.core.db.session import fetch
from app.core.observability.readiness import MAX_AGE
from tests.api.calls import login
from tests.conftest import POSTGRES_URL, connected, end_sessions, running, settings_for
from tests.core.test_driver import ADD, PID, single, stored
from tests.factories import Factory
from tests.pgbouncer import pgbouncer
from tests.proxy import Proxy, before

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL"),
]

type Call = Callable[[httpx.AsyncClient, dict[str, str]], Awaitable[httpx.Response]]

NEW = {"username": "bob", "email": "bob@example.com", "password": "a long enough password"}
CALLS: dict[str, Call] = {
    "ready": lambda client, _: client.get("/ready"),
    "login": lambda client, _: login(client, "alice"),
    "register": lambda client, _: client.post("/api/v1/auth/register", json=NEW),
    "books": lambda client, _: client.get("/api/v1/books"),
    "items": lambda client, headers: client.get("/api/v1/items", headers=headers),
    "account": lambda client, headers: client.get("/api/v1/users/me", headers=headers),
    "sessions": lambda client, headers: client.get("/api/v1/auth/sessions", headers=headers),
    "create": lambda client, headers: client.post("/api/v1/items", json={"title": "new"}, headers=headers),
    "change": lambda client, headers: client.patch("/api/v1/users/me", json={"full_name": "A"}, headers=headers),
    "once": lambda client, headers: client.post(
        "/api/v1/items", json={"title": "new"}, headers=headers | {"Idempotency-Key": "1"}
    ),
}


@asynccontextmanager
async def way(url: URL, folder: Path, mode: str) -> AsyncIterator[tuple[dict[str, object], Proxy]]:
    """Settings of a way to the database, through a proxy."""
    with pgbouncer(url, folder) if mode == "pgbouncer" else nullcontext(url) as there:
        async with before(there) as (proxied, proxy):
            address = proxied.render_as_string(hide_password=False)
            changes: dict[str, object] = {"database_url": address, "db_pgbouncer": mode == "pgbouncer"}
            if mode == "replica":
                changes["database_read_url"] = address
            yield changes, proxy


@asynccontextmanager
async def service(
    url: URL, folder: Path, mode: str
) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str], AppServices, Proxy]]:
    async with way(url, folder, mode) as (changes, proxy):
        settings = settings_for(url, folder, **changes)
        async with running(settings) as (_, manager, services), connected(manager.app) as client:
            make = Factory(services)
            yield client, await make.bearer(await make.user(username="alice")), services, proxy


async def cut(proxy: Proxy) -> None:
    proxy.cut()
    await asyncio.sleep(0.02)


async def use_connections(client: httpx.AsyncClient, headers: dict[str, str], services: AppServices) -> None:
    """On either path there is one that was used a moment ago."""
    await client.get("/api/v1/items", headers=headers)
    await services.readiness.ask()
    services.readiness.asked_at -= MAX_AGE.total_seconds()


@pytest.mark.parametrize("mode", ["direct", "replica", "pgbouncer"])
async def test_the_first_request_after_all_connections_were_cut_succeeds(
    real_url: URL, tmp_path: Path, mode: str
) -> None:
    async with service(real_url, tmp_path, mode) as (client, headers, services, proxy):
        failed = {}
        for name, call in CALLS.items():
            for cutting in (end_sessions(real_url), cut(proxy)):
                await use_connections(client, headers, services)
                await cutting
                answer = await call(client, headers)
                if answer.status_code not in {200, 201, 204, 409}:
                    failed[name] = (answer.status_code, answer.text)
        assert failed == {}


async def test_so_does_the_first_one_that_meets_a_connection_which_pgbouncer_has_lost(
    real_url: URL, tmp_path: Path
) -> None:
    async with (
        before(real_url) as (behind, proxy),
        service(behind.set(query={}), tmp_path, "pgbouncer") as (client, headers, services, _),
    ):
        failed = {}
        for name, call in CALLS.items():
            await use_connections(client, headers, services)
            proxy.cut_late()
            answer = await call(client, headers)
            if answer.status_code not in {200, 201, 204, 409}:
                failed[name] = (answer.status_code, answer.text)
        assert failed == {}


@pytest.mark.parametrize("mode", ["direct", "replica", "pgbouncer"])
@pytest.mark.parametrize("name", ["books", "items", "account", "sessions"])
async def test_a_read_whose_connection_is_lost_while_it_asks_is_done_again(
    real_url: URL, tmp_path: Path, mode: str, name: str
) -> None:
    async with service(real_url, tmp_path, mode) as (client, headers, services, proxy):
        await use_connections(client, headers, services)
        proxy.cut_late()
        assert (await CALLS[name](client, headers)).status_code == 200


@pytest.fixture
async def behind_proxy(real_url: URL, tmp_path: Path) -> AsyncIterator[tuple[Database, Proxy]]:
    async with before(real_url) as (proxied, proxy):
        database = Database(settings_for(proxied, tmp_path))
        async with database.primary() as session:
            await fetch(session, PID)
        yield database, proxy
        await database.close()


async def test_a_single_write_whose_answer_is_lost_is_not_done_again(behind_proxy: tuple[Database, Proxy]) -> None:
    database, proxy = behind_proxy

    async def add() -> None:
        async with single(database) as session:
            await fetch(session, ADD, resource="lost")

    proxy.cut_late()
    with pytest.raises(DBAPIError) as caught:
        await retried(add)
    assert is_connection_failure(caught.value)
    assert await stored(database) == set()


async def test_a_transaction_whose_connection_is_lost_before_its_first_statement_begins_again(
    behind_proxy: tuple[Database, Proxy],
) -> None:
    database, proxy = behind_proxy
    proxy.cut_late()
    async with database.transaction() as session:
        await fetch(session, ADD, resource="stored")
    assert await stored(database) == {"stored"}


async def on_driver(session: AsyncSession, resource: str) -> None:
    await fetch(session, ADD, resource=resource)


async def on_sqlalchemy(session: AsyncSession, resource: str) -> None:
    await session.execute(ADD.statement, {"resource": resource})


@pytest.mark.parametrize("add", [on_driver, on_sqlalchemy])
async def test_a_transaction_whose_connection_is_lost_before_its_commit_is_done_again(
    behind_proxy: tuple[Database, Proxy], add: Callable[[AsyncSession, str], Awaitable[None]]
) -> None:
    database, proxy = behind_proxy
    cuts = [proxy.cut_late]

    async def work() -> None:
        async with database.transaction() as session:
            await add(session, "first")
            for cut in cuts:
                cut()
            cuts.clear()
            await add(session, "second")

    await retried(work)
    assert await stored(database) == {"first", "second"}


@pytest.mark.parametrize("add", [on_driver, on_sqlalchemy])
async def test_a_commit_whose_answer_is_lost_is_not_done_again(
    behind_proxy: tuple[Database, Proxy], add: Callable[[AsyncSession, str], Awaitable[None]]
) -> None:
    database, proxy = behind_proxy

    async def work() -> None:
        async with database.transaction() as session:
            await add(session, "lost")
            proxy.cut_late()

    with pytest.raises(DBAPIError) as caught:
        await retried(work)
    assert is_connection_failure(caught.value)
    assert await stored(database) == set()
