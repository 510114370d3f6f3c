"""What an answer is worth: a COMMIT that fails is never a success, and clients that leave take nothing with them."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.engine import URL

from app.models.item import Item
from app.models.user import User
from tests.factories import PASSWORD, Factory
from tests.server import Server

ITEMS = "/api/v1/items"
DOOMED = "doomed"

pytestmark = pytest.mark.real_database

# A foreign key that is looked at when the transaction commits, and not before.
DEFERRED_TABLE = "CREATE TABLE doom (parent BIGINT REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)"
SQLITE_TRIGGER = """
CREATE TRIGGER doom_{table}_{verb} AFTER {verb} ON {table} WHEN {row}.{column} = 'doomed'
BEGIN INSERT INTO doom (parent) VALUES (-1); END
"""
POSTGRESQL_FUNCTION = """
CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO doom (parent) VALUES (-1); RETURN NULL; END $$
"""
POSTGRESQL_TRIGGER = """
CREATE TRIGGER doom_{table}_{verb} AFTER {verb} ON {table} FOR EACH ROW WHEN ({row}.{column} = 'doomed')
EXECUTE FUNCTION doom()
"""


async def execute(server: Server, *statements: str) -> None:
    async with server.services.database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


async def doom(server: Server) -> None:
    """From now on the commit fails of whatever writes a row that is called doomed."""
    is_sqlite = server.services.database.engine.dialect.name == "sqlite"
    trigger = SQLITE_TRIGGER if is_sqlite else POSTGRESQL_TRIGGER
    statements = [DEFERRED_TABLE, *([] if is_sqlite else [POSTGRESQL_FUNCTION])]
    for table, column in (("items", "title"), ("users", "username")):
        for verb, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            statements.append(trigger.format(table=table, column=column, verb=verb, row=row))
    await execute(server, *statements)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        yield client


@pytest.fixture
def make(server: Server) -> Factory:
    return Factory(server.services)


async def titles(server: Server) -> list[str]:
    async with server.services.database.primary() as session:
        return list(await session.scalars(select(Item.title).order_by(Item.id)))


def assert_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 409 or answer.status_code >= 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert "location" not in answer.headers
    assert "etag" not in answer.headers
    assert "doom" not in answer.text, "what the database says is nobody's business"


async def test_a_create_whose_commit_fails_is_refused_and_nothing_is_stored(
    server: Server, client: httpx.AsyncClient, make: Factory
) -> None:
    headers = await make.bearer(await make.user())
    await doom(server)
    for _ in range(5):
        assert_refused(await client.post(ITEMS, json={"title": DOOMED}, headers=headers))
    assert await titles(server) == []
    answer = await client.post(ITEMS, json={"title": "fine"}, headers=headers)
    assert answer.status_code == 201, "the connection is as good as new"
    assert await titles(server) == ["fine"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_change_whose_commit_fails_is_refused_and_nothing_has_changed(
    server: Server, client: httpx.AsyncClient, make: Factory, method: str
) -> None:
    alice = await make.user()
    headers = await make.bearer(alice)
    item = await make.item(alice, title=DOOMED if method == "DELETE" else "before")
    await doom(server)
    body = None if method == "DELETE" else {"title": DOOMED}
    assert_refused(await client.request(method, f"{ITEMS}/{item.id}", json=body, headers=headers))
    answer = await client.get(f"{ITEMS}/{item.id}", headers=headers)
    assert (answer.json()["title"], answer.json()["version"]) == (item.title, 1)


async def test_a_registration_whose_commit_fails_makes_no_account(server: Server, client: httpx.AsyncClient) -> None:
    await doom(server)
    account = {"username": DOOMED, "email": "doomed@example.com", "password": PASSWORD}
    assert_refused(await client.post("/api/v1/auth/register", json=account))
    async with server.services.database.primary() as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 0
    login = await client.post("/api/v1/auth/login", data={"username": DOOMED, "password": PASSWORD})
    assert login.status_code == 401
    assert (await client.post("/api/v1/auth/register", json=account | {"username": "fine"})).status_code == 201


@pytest.mark.parametrize(
    ("code", "status"),
    [("23514", 409), ("40001", None), ("40P01", None), ("P0001", None), ("57014", None), ("53100", None)],
    ids=["check", "serialization", "deadlock", "raised", "cancelled", "disk full"],
)
async def test_whatever_a_commit_fails_with_is_no_success(
    server: Server, client: httpx.AsyncClient, make: Factory, real_url: URL, code: str, status: int | None
) -> None:
    if real_url.get_backend_name() == "sqlite":
        pytest.skip("SQLite's commits fail by foreign keys alone")
    headers = await make.bearer(await make.user())
    await execute(
        server,
        f"CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION 'doom' USING ERRCODE = '{code}'; END $$",
        "CREATE CONSTRAINT TRIGGER doom AFTER INSERT ON items DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW WHEN (NEW.title = 'doomed') EXECUTE FUNCTION doom()",
    )
    answer = await client.post(ITEMS, json={"title": DOOMED}, headers=headers)
    assert_refused(answer)
    assert status is None or answer.status_code == status
    assert await titles(server) == []
    assert (await client.post(ITEMS, json={"title": "fine"}, headers=headers)).status_code == 201


async def test_fifty_doomed_and_fifty_good_requests_at_once_do_not_mix(
    server: Server, client: httpx.AsyncClient, make: Factory
) -> None:
    headers = await make.bearer(await make.user())
    await doom(server)
    wanted = [DOOMED if number % 2 else f"fine {number}" for number in range(100)]
    answers = await asyncio.gather(*(client.post(ITEMS, json={"title": title}, headers=headers) for title in wanted))
    for title, answer in zip(wanted, answers, strict=True):
        if title == DOOMED:
            assert_refused(answer)
        else:
            assert answer.status_code == 201
    assert sorted(await titles(server)) == sorted(title for title in wanted if title != DOOMED)
    assert await connections_left(server) == 0


async def connections_left(server: Server) -> int:
    """How many connections of the pool are in use once nothing more happens."""
    pool: Any = server.services.database.engine.pool
    for _ in range(400):
        if pool.checkedout() == 0:
            break
        await asyncio.sleep(0.05)
    in_use: int = pool.checkedout()
    return in_use


def raw_request(method: str, path: str, headers: dict[str, str], body: bytes = b"", *, announced: int = 0) -> bytes:
    """A request as it goes over the wire; `announced` promises a longer body than is sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {announced or len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def send_and_leave(port: int, request: bytes, *, rudely: bool) -> None:
    """Send all of it and be gone before the answer; rudely is without a goodbye (RST)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    del reader
    if rudely:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.write(request)
    await writer.drain()
    writer.close()
    with suppress(ConnectionError):  # the server may have been quicker
        await writer.wait_closed()


async def test_a_thousand_clients_that_leave_take_no_connection_with_them(
    server: Server, client: httpx.AsyncClient, make: Factory
) -> None:
    alice = await make.user()
    headers = await make.bearer(alice)
    await make.item(alice)
    body = json.dumps({"title": "left behind"}).encode()
    requests = [
        raw_request("GET", ITEMS, headers),
        raw_request("POST", ITEMS, headers, body),
        raw_request("POST", ITEMS, headers, body, announced=len(body) + 100),
        raw_request("GET", f"{ITEMS}/1", headers),
        raw_request("POST", ITEMS, headers, body[:5], announced=len(body)),
    ]
    for batch in range(10):
        await asyncio.gather(
            *(
                send_and_leave(server.port, requests[number % len(requests)], rudely=(number + batch) % 2 == 0)
                for number in range(100)
            )
        )
    assert await connections_left(server) == 0
    # A request that waited for a connection had none to show.
    assert (await client.get(ITEMS, headers=headers)).status_code == 200
    assert await connections_left(server) == 0
    assert (await client.post(ITEMS, json={"title": "still here"}, headers=headers)).status_code == 201
    stored = await titles(server)
    assert stored[-1] == "still here"
    assert 1 <= stored.count("left behind") <= 200, "whole requests are carried out, half ones never"


async def test_more_clients_that_leave_than_the_pool_has_connections_block_nobody(
    server: Server, client: httpx.AsyncClient, make: Factory
) -> None:
    headers = await make.bearer(await make.user())
    request = raw_request("GET", ITEMS, headers)
    # Together with the others no more than MAX_CONCURRENT_REQUESTS, and five times what the pool has.
    leaving = asyncio.gather(*(send_and_leave(server.port, request, rudely=True) for _ in range(150)))
    answers = await asyncio.gather(*(client.get(ITEMS, headers=headers) for _ in range(20)))
    await leaving
    assert {answer.status_code for answer in answers} == {200}
