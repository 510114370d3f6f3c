"""`/items/export`: all there are when it begins, in lines; and nothing left open when nobody takes them."""

import asyncio
import csv
import gzip
import json
import socket
import struct
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.limits.download_slots import PER_USER
from app.models.item import Item
from app.services.batches import BATCH
from app.services.items.export import COLUMNS
from tests.api.calls import code
from tests.conftest import connected, running, settings_for
from tests.factories import Factory
from tests.redis import free_port
from tests.server import Server

ITEMS = "/api/v1/items"
EXPORT = f"{ITEMS}/export"

# With 5 KB each, more than the buffers between a server and a client hold; of whole batches, and of thirds.
MANY = 30 * BATCH

type Headers = dict[str, str]


async def table(client: httpx.AsyncClient, headers: Headers, **params: Any) -> list[dict[str, str]]:
    answer = await client.get(EXPORT, params={"format": "csv", **params}, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(StringIO(answer.text, newline=""), strict=True))


async def many_items(session: AsyncSession, owner_id: int, count: int, description: str = "") -> None:
    rows = [
        {"owner_id": owner_id, "title": f"Item {number}", "version": 1, "description": description}
        for number in range(count)
    ]
    await session.execute(insert(Item), rows)
    await session.commit()


async def test_csv_has_a_line_for_the_names_and_one_for_each_item(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user(username="alice")
    one = await make.item(alice, sku="L-1", title="Lamp", price=Decimal("19.99"), tax_rate=Decimal("0.19"), stock=3)
    two = await make.item(alice, title='A "big", blue\none', description="two\r\nlines; and ünïcode ☃", is_done=False)
    answer = await client.get(EXPORT, params={"format": "csv"}, headers=await make.bearer(alice))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="items.csv"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.startswith(",".join(COLUMNS) + "\r\n")
    rows = list(csv.DictReader(StringIO(answer.text, newline=""), strict=True))
    assert [row["id"] for row in rows] == [str(one.id), str(two.id)]
    read = (await client.get(f"{ITEMS}/{one.id}", headers=await make.bearer(alice))).json()
    assert rows[0] == {
        **{name: str(value) for name, value in read.items() if name in COLUMNS},
        "description": "",
        "is_done": "false",
        "owner_id": str(alice.id),
        "owner_username": "alice",
    }
    assert (rows[1]["title"], rows[1]["description"]) == (two.title, two.description)
    assert rows[1]["sku"] == ""


async def test_an_export_of_nothing_has_the_names_alone(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user())
    assert (await client.get(EXPORT, params={"format": "csv"}, headers=headers)).text == ",".join(COLUMNS) + "\r\n"
    assert (await client.get(EXPORT, params={"format": "ndjson"}, headers=headers)).content == b""


@pytest.mark.parametrize("mark", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
async def test_no_cell_is_a_formula(client: httpx.AsyncClient, make: Factory, mark: str) -> None:
    alice = await make.user(username="alice")
    await make.item(alice, title=mark, description=mark, sku="-1")
    [row] = await table(client, await make.bearer(alice))
    assert (row["title"], row["description"], row["sku"]) == (f"'{mark}", f"'{mark}", "'-1")
    [line] = (
        (await client.get(EXPORT, params={"format": "ndjson"}, headers=await make.bearer(alice))).text.strip("\n")
    ).split("\n")
    assert json.loads(line)["title"] == mark, "JSON is for programs"


async def test_ndjson_has_the_items_as_they_are_read_one_by_one(client: httpx.AsyncClient, make: Factory) -> None:
    alice, bob = await make.user(), await make.user()
    items = [
        await make.item(alice, sku="L-1", price=Decimal("19.99"), tax_rate=Decimal("0.19"), stock=3),
        await make.item(bob, title="line\u2028separator", description="a\nb"),
    ]
    headers = await make.bearer(alice)
    answer = await client.get(EXPORT, params={"format": "ndjson"}, headers=headers)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == 'attachment; filename="items.ndjson"'
    lines = answer.text.split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == [
        (await client.get(f"{ITEMS}/{item.id}", headers=headers)).json() for item in items
    ]


async def test_the_filters_are_those_of_the_list(client: httpx.AsyncClient, make: Factory) -> None:
    alice, bob = await make.user(), await make.user()
    await make.item(alice, title="Red bicycle", price=Decimal(10))
    await make.item(alice, title="100% wool_sock", price=Decimal(20))
    await make.item(bob, title="Car", description="RED, fast", price=Decimal(30))
    await make.item(bob, title="Sold", is_done=True, price=Decimal(30))
    headers = await make.bearer(alice)
    filters: list[dict[str, Any]] = [
        {},
        {"q": "red"},
        {"q": "%"},
        {"owner": "me"},
        {"owner": bob.id, "is_done": "any"},
        {"is_done": "true"},
        {"min_price": "10.01", "max_price": "29.99"},
    ]
    for params in filters:
        listed = await client.get(ITEMS, params={"sort": "id", **params}, headers=headers)
        expected = [str(item["id"]) for item in listed.json()["items"]]
        assert expected
        assert [row["id"] for row in await table(client, headers, **params)] == expected, params


async def test_more_items_than_a_batch_come_each_once_and_in_order(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    await many_items(session, alice.id, 2 * BATCH + 1)
    ids = [int(row["id"]) for row in await table(client, await make.bearer(alice))]
    assert len(ids) == 2 * BATCH + 1
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("params", [{}, {"format": ""}, {"format": "xml"}, {"format": "csv", "owner": "you"}])
async def test_an_unknown_format_or_filter_is_invalid(
    client: httpx.AsyncClient, make: Factory, params: dict[str, str]
) -> None:
    answer = await client.get(EXPORT, params=params, headers=await make.bearer(await make.user()))
    assert code(answer) == (422, "validation_error")


async def test_an_export_needs_a_token_and_a_scope(client: httpx.AsyncClient, make: Factory) -> None:
    assert code(await client.get(EXPORT, params={"format": "csv"})) == (401, "not_authenticated")
    headers = await make.bearer(await make.user(), scope="orders:read")
    assert code(await client.get(EXPORT, params={"format": "csv"}, headers=headers)) == (403, "insufficient_scope")


# On the wire


def raw_get(path: str, headers: Headers) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.real_database
async def test_an_export_goes_out_compressed(server: Server) -> None:
    make = Factory(server.services)
    alice = await make.user()
    async with server.services.database.write() as session:
        await many_items(session, alice.id, 2 * BATCH)
    headers = await make.bearer(alice)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        plain = await client.get(EXPORT, params={"format": "csv"}, headers=headers | {"Accept-Encoding": "identity"})
        request = {"params": {"format": "csv"}, "headers": headers | {"Accept-Encoding": "gzip"}}
        async with client.stream("GET", EXPORT, **request) as answer:  # type: ignore[arg-type] # a dict of several types
            assert answer.headers["content-encoding"] == "gzip"
            packed = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 4


async def none_checked_out(server: Server, seconds: float = 2) -> bool:
    pool: Any = server.services.database.read_engine.pool
    for _ in range(int(seconds / 0.02)):
        if pool.checkedout() == 0:
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.real_database
@pytest.mark.parametrize("format_", ["csv", "ndjson"])
@pytest.mark.parametrize("rudely", [True, False], ids=["reset", "closed"])
async def test_who_leaves_in_the_middle_of_an_export_leaves_nothing_open(
    server: Server, format_: str, *, rudely: bool
) -> None:
    make = Factory(server.services)
    alice = await make.user()
    async with server.services.database.write() as session:
        await many_items(session, alice.id, MANY, "x" * 5000)
    request = raw_get(f"{EXPORT}?format={format_}", await make.bearer(alice))
    connections = [await asyncio.open_connection("127.0.0.1", server.port, limit=1024) for _ in range(PER_USER)]
    for reader, writer in connections:
        writer.write(request)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert server.services.download_slots.held == {alice.id: PER_USER}, "they are in the middle"
    assert await none_checked_out(server)
    for _, writer in connections:
        if rudely:
            taken: socket.socket = writer.get_extra_info("socket")
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
    assert await none_under_way(server)
    assert await none_checked_out(server)
    if server.services.database.engine.dialect.name == "postgresql":
        async with server.services.database.primary() as session:
            open_ones = await session.execute(
                text(
                    "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"
                )
            )
            assert open_ones.all() == []
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        whole = await client.get(f"{EXPORT}?format=ndjson", headers=await make.bearer(alice))
    assert whole.content.count(b"\n") == MANY
    assert await none_checked_out(server)


async def none_under_way(server: Server, seconds: float = 5) -> bool:
    for _ in range(int(seconds / 0.02)):
        if not server.services.download_slots.held:
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.real_database
async def test_an_export_shows_what_was_there_at_its_beginning_as_it_is_when_it_is_read(server: Server) -> None:
    make = Factory(server.services)
    alice = await make.user()
    database = server.services.database
    async with database.write() as session:
        await many_items(session, alice.id, MANY, "x" * 5000)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(raw_get(f"{EXPORT}?format=ndjson", await make.bearer(alice) | {"Connection": "close"}))
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    async with database.transaction() as session:
        await session.execute(text("UPDATE items SET title = 'changed', version = 2"))
        await session.execute(text("DELETE FROM items WHERE id % 3 = 0"))
    async with database.write() as session:
        await many_items(session, alice.id, 10, "made later")
    body = await reader.read(-1)
    writer.close()
    assert b"made later" not in body
    before, changed = body.count(b'"version":1,'), body.count(b"changed")
    assert before % BATCH == 0, "a batch shows one moment"
    assert changed == (MANY - before) * 2 // 3
    assert min(before, changed) > 0, "it was in the middle"
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        after = await client.get(f"{EXPORT}?format=ndjson", headers=await make.bearer(alice))
    assert after.content.count(b"\n") == MANY * 2 // 3 + 10
    assert after.content.count(b"changed") == MANY * 2 // 3


@pytest.mark.real_database
@pytest.mark.parametrize("format_", ["csv", "ndjson"])
async def test_an_export_whose_database_is_gone_is_refused_before_it_begins(
    real_url: URL, tmp_path: Path, format_: str
) -> None:
    """The replica, so that the token can still be checked."""
    if real_url.get_backend_name() == "sqlite":
        replica = f"sqlite:///{tmp_path}/nowhere/strata.db"
    else:
        replica = real_url.set(port=free_port()).render_as_string(hide_password=False)
    settings = settings_for(real_url, tmp_path, database_read_url=replica)
    async with running(settings) as (_, manager, services), connected(manager.app) as client:
        headers = await Factory(services).bearer(await Factory(services).user())
        answer = await client.get(EXPORT, params={"format": format_}, headers=headers)
    assert code(answer) == (503, "database_unavailable")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"]
    assert "content-disposition" not in answer.headers
