"""A server that dies before its answer arrives: who asks again gets that answer, and no second order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, update

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.models.item import Item
from app.models.order import Order
from tests.api.test_orders import basket
from tests.factories import Factory
from tests.process import factory_for, serve_process

ORDERS = "/api/v1/orders"

pytestmark = pytest.mark.real_database


class OneWay:
    """A proxy that passes requests on and never reads what comes back: no answer gets through."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.arrived = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self.port, limit=1)
        back._transport.pause_reading()  # type: ignore[attr-defined] # so that asyncio does not read ahead
        try:
            while data := await reader.read(65536):
                forth.write(data)
                await forth.drain()
                self.arrived.set()
        finally:
            forth.close()
            writer.close()


@asynccontextmanager
async def one_way(port: int) -> AsyncIterator[tuple[OneWay, str]]:
    proxy = OneWay(port)
    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    try:
        yield proxy, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await listener.wait_closed()


async def orders_stored(database: Database) -> int:
    async with database.primary() as session:
        return await session.scalar(select(func.count()).select_from(Order)) or 0


async def stock_of(database: Database, item: Item) -> int | None:
    async with database.primary() as session:
        return await session.scalar(select(Item.stock).where(Item.id == item.id))


@asynccontextmanager
async def asking(url: str, headers: dict[str, str], body: object) -> AsyncIterator[asyncio.Task[httpx.Response]]:
    """An order on its way, whose buyer hangs up in the end."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        task = asyncio.create_task(client.post(ORDERS, json=body, headers=headers))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def make(real_settings: Settings) -> AsyncIterator[Factory]:
    async with factory_for(real_settings) as make:
        yield make


async def test_an_order_that_was_stored_but_not_answered_is_answered_by_the_next_server(
    make: Factory, real_settings: Settings, tmp_path: Path
) -> None:
    database = make.services.database
    item = await make.item(await make.user(), stock=5)
    headers = await make.bearer(await make.user()) | {"Idempotency-Key": "once"}
    body = basket((item.id, 2))
    async with (
        serve_process(real_settings, tmp_path) as server,
        one_way(server.port or 0) as (_, url),
        asking(url, headers, body) as answer,
    ):
        async with asyncio.timeout(20):
            while not await orders_stored(database):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.001)
        server.kill()
        assert not answer.done(), "nobody was told"
    async with (
        serve_process(real_settings, tmp_path) as server,
        httpx.AsyncClient(base_url=server.url, timeout=20) as client,
    ):
        again = await client.post(ORDERS, json=body, headers=headers)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
        assert (again.headers["location"], again.headers["etag"]) == (f"{ORDERS}/{again.json()['id']}", '"1"')
        assert (await client.get(again.headers["location"], headers=headers)).json() == again.json()
    assert (await orders_stored(database), await stock_of(database, item)) == (1, 3)


async def test_an_order_that_was_not_stored_yet_is_placed_by_the_next_server(
    make: Factory, real_settings: Settings, tmp_path: Path
) -> None:
    database = make.services.database
    item = await make.item(await make.user(), stock=5)
    headers = await make.bearer(await make.user()) | {"Idempotency-Key": "once"}
    body = basket((item.id, 2))
    async with (
        serve_process(real_settings, tmp_path) as server,
        one_way(server.port or 0) as (proxy, url),
        database.write() as holder,
    ):
        # The order has to wait for its item.
        await holder.execute(update(Item).values(stock=5))
        async with asking(url, headers, body) as answer:
            await proxy.arrived.wait()
            await asyncio.sleep(0.5)
            server.kill()
            assert not answer.done()
        await holder.rollback()
    assert (await orders_stored(database), await stock_of(database, item)) == (0, 5)
    async with (
        serve_process(real_settings, tmp_path) as server,
        httpx.AsyncClient(base_url=server.url, timeout=20) as client,
    ):
        again = await client.post(ORDERS, json=body, headers=headers)
        assert (again.status_code, "idempotency-replayed" in again.headers) == (201, False)
    assert (await orders_stored(database), await stock_of(database, item)) == (1, 3)
