"""A migration under a running server: whoever asks meanwhile gets what they asked for."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from itertools import count, cycle
from typing import Any

import asyncpg
import httpx
import pytest

from app.api.deps import AppServices
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.services.purge import purge_expired
from tests.conftest import borrowed_app, connected, running
from tests.factories import PASSWORD, Factory
from tests.server import Server, serve

pytestmark = pytest.mark.real_database

CONNECTIONS = 10
ITEMS, ORDERS = "/api/v1/items", "/api/v1/orders"
CHANGES = (
    "ALTER TABLE items ALTER COLUMN title TYPE varchar(120)",
    "ALTER TABLE items ALTER COLUMN stock TYPE bigint",
    "ALTER TABLE users ALTER COLUMN full_name TYPE varchar(300)",
    "ALTER TABLE sessions ALTER COLUMN scope TYPE varchar(1000)",
    "ALTER TABLE orders ALTER COLUMN status TYPE varchar(40)",
    "ALTER TABLE items ADD COLUMN colour text NOT NULL DEFAULT 'red'",
    "ALTER TABLE items ALTER COLUMN stock TYPE integer",
    "DROP INDEX ix_items_created_at_id",
    "CREATE INDEX ix_items_created_at_id ON items (created_at, id)",
    "CLUSTER items USING ix_items_created_at_id",
)
# All that SQLite can change of a column is to add one; tables are made anew for the rest, as Alembic does.
SQLITE_CHANGES = (
    "ALTER TABLE items ADD COLUMN colour text NOT NULL DEFAULT 'red'",
    "ALTER TABLE items DROP COLUMN colour",
    "DROP INDEX ix_items_created_at_id",
    "CREATE INDEX ix_items_created_at_id ON items (created_at, id)",
    "VACUUM",
)

type Call = Callable[[], Awaitable[httpx.Response]]


@pytest.fixture
async def server(real_settings: Settings) -> AsyncIterator[Server]:
    settings = real_settings.model_copy(update={"db_pool_size": CONNECTIONS})
    with borrowed_app(settings) as app:
        async with serve(app) as server:
            yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=4 * CONNECTIONS)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        yield client


async def calls_of(client: httpx.AsyncClient, services: AppServices) -> list[Call]:
    """On the driver's connection, by SQLAlchemy, and by both in one transaction."""
    make, numbers = Factory(services), count()
    seller, buyer = await make.user(), await make.user()
    sellers, buyers = await make.bearer(seller), await make.bearer(buyer)
    item = await make.item(seller, stock=100_000)
    login = {"username": buyer.username, "password": PASSWORD}
    # Each user has two downloads at once.
    readers = cycle([await make.bearer(await make.user()) for _ in range(6)])
    key = "Idempotency-Key"
    return [
        lambda: client.get(ITEMS, headers=buyers),
        lambda: client.get(f"{ITEMS}/{item.id}", headers=buyers),
        lambda: client.post(ITEMS, json={"title": "new"}, headers=sellers),
        lambda: client.post(ITEMS, json={"title": "once"}, headers={**sellers, key: f"key-{next(numbers)}"}),
        lambda: client.patch(f"{ITEMS}/{item.id}", json={"description": "x"}, headers=sellers),
        lambda: client.post(ORDERS, json={"lines": [{"item_id": item.id, "quantity": 1}]}, headers=buyers),
        lambda: client.get(ORDERS, headers=buyers),
        lambda: client.get(f"{ITEMS}/export?format=csv", headers=next(readers)),
        lambda: client.get("/api/v1/users/me/export", headers=next(readers)),
        lambda: client.post("/api/v1/auth/login", data=login),
        lambda: client.get("/ready"),
    ]


async def ask(calls: list[Call], rounds: int = 1) -> Counter[tuple[str, int]]:
    answers = await asyncio.gather(*(call() for call in calls * rounds))
    return Counter((f"{answer.request.method} {answer.request.url.path}", answer.status_code) for answer in answers)


async def change(database: Database, statement: str) -> None:
    """On a connection that nobody here knows, as another process has it."""
    url = database.engine.url
    if url.get_backend_name() == "sqlite":
        await asyncio.to_thread(change_file, str(url.database), statement)
        return
    connection = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def change_file(path: str, statement: str) -> None:
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute(statement)


async def test_nobody_sees_that_the_schema_changes_under_load(server: Server, client: httpx.AsyncClient) -> None:
    database = server.services.database
    is_postgresql = database.engine.dialect.name == "postgresql"
    calls = await calls_of(client, server.services)
    told = await ask(calls, rounds=3)
    for statement in CHANGES if is_postgresql else SQLITE_CHANGES:
        under_way = asyncio.create_task(ask(calls, rounds=2))
        await asyncio.sleep(0.02)
        await change(database, statement)
        told += await under_way
        told += await ask(calls)
    assert {call: status for call, status in told if status not in {200, 201}} == {}
    assert len(told) == len(calls) - 1, "two of the calls differ in a header alone"


async def test_ten_connections_with_old_plans_are_no_hindrance_to_one_request(
    server: Server, client: httpx.AsyncClient
) -> None:
    database = server.services.database
    if database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite plans anew by itself")
    calls = await calls_of(client, server.services)
    writes = calls[2:6]
    for write in writes:
        warmed = await asyncio.gather(*(write() for _ in range(2 * CONNECTIONS)))
        assert {answer.status_code for answer in warmed} <= {200, 201}
    await change(database, CHANGES[0])
    await change(database, CHANGES[4])
    told = await ask(writes, rounds=CONNECTIONS)
    assert {status for _, status in told} <= {200, 201}


@pytest.mark.parametrize("statement", ["DEALLOCATE ALL", "DISCARD ALL"])
async def test_a_session_that_was_made_to_forget_its_statements_is_used_on_or_replaced(
    real_settings: Settings, statement: str
) -> None:
    if real_settings.database.get_backend_name() != "postgresql":
        pytest.skip("SQLite prepares in this process")
    settings = real_settings.model_copy(update={"db_pool_size": 2, "db_max_overflow": 0})
    async with running(settings) as (_, manager, services), connected(manager.app) as client:
        for call in await calls_of(client, services):
            assert (await call()).status_code in {200, 201}
            connections = [await services.database.engine.raw_connection() for _ in range(2)]
            for connection in connections:
                driver: Any = connection.driver_connection
                await driver.execute(statement)
                connection.close()
            assert (await call()).status_code in {200, 201}


@pytest.mark.parametrize("table", ["one_time_tokens", "idempotency_keys"])
async def test_cleaning_goes_on_after_the_schema_has_changed(real_settings: Settings, table: str) -> None:
    database = Database(real_settings)
    is_postgresql = database.engine.dialect.name == "postgresql"
    try:
        assert await purge_expired(database) == 0
        # What it says of the rows that it deletes.
        changed = "ALTER COLUMN id TYPE integer" if is_postgresql else "ADD COLUMN colour text"
        await change(database, f"ALTER TABLE {table} {changed}")
        assert await purge_expired(database) == 0
    finally:
        await database.close()
