"""Many who buy at once: no unit is sold twice and none is lost, nobody waits for good, and nobody sees a 5xx."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.engine import URL

from app.api.deps import SessionDep
from app.api.router import Router
from app.core.config.settings import Settings
from app.main import create_app
from app.models.item import Item
from app.models.order import Order, OrderLine, OrderStatus
from tests.api.test_orders import basket
from tests.conftest import POSTGRES_URL
from tests.factories import Factory
from tests.process import ServerProcess, factory_for, serve_process
from tests.server import Server, serve

ORDERS = "/api/v1/orders"
ITEMS = "/api/v1/items"
# SQLite has one writer at a time, whoever it is.
WORKERS = 2 if POSTGRES_URL is None else 4
BUYERS = 8

pytestmark = pytest.mark.real_database

type Headers = dict[str, str]


@pytest.fixture
async def make(real_settings: Settings) -> AsyncIterator[Factory]:
    async with factory_for(real_settings) as make:
        yield make


@pytest.fixture
async def shop(real_settings: Settings, tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """Several processes that know nothing of each other but the database."""
    async with serve_process(real_settings, tmp_path, workers=WORKERS) as server:
        yield server


@pytest.fixture
async def client(shop: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Connections enough that all workers get some."""
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(base_url=shop.url, timeout=60, limits=limits) as client:
        yield client


async def order(client: httpx.AsyncClient, headers: Headers, lines: Sequence[tuple[int, int]]) -> httpx.Response:
    return await client.post(ORDERS, json=basket(*lines), headers=headers)


async def buyers_of(make: Factory) -> list[Headers]:
    return [await make.bearer(await make.user()) for _ in range(BUYERS)]


async def stocks(make: Factory) -> dict[int, int]:
    async with make.services.database.primary() as session:
        rows = await session.execute(select(Item.id, Item.stock))
        return {row.id: row.stock for row in rows}


async def units_sold(make: Factory) -> Counter[int]:
    """Of each item, in orders that were not cancelled."""
    sold = (
        select(OrderLine.item_id, func.sum(OrderLine.quantity).label("units"))
        .join(Order, Order.id == OrderLine.order_id)
        .where(Order.status != OrderStatus.CANCELLED)
        .group_by(OrderLine.item_id)
    )
    async with make.services.database.primary() as session:
        return Counter({row.item_id: int(row.units) for row in await session.execute(sold)})


async def assert_no_deadlock(make: Factory, shop: ServerProcess) -> None:
    told = shop.told
    assert "deadlock" not in told
    assert "transaction taken back" not in told
    assert "Traceback" not in told
    database = make.services.database
    if database.engine.dialect.name != "postgresql":
        return
    # The servers' processes report what they counted once they are idle for a moment, or end.
    await asyncio.sleep(1.2)
    async with database.primary() as session:
        await session.execute(text("SELECT pg_stat_clear_snapshot()"))
        counted = "SELECT deadlocks, conflicts FROM pg_stat_database WHERE datname = current_database()"
        assert tuple((await session.execute(text(counted))).one()) == (0, 0)


async def test_of_two_hundred_orders_for_fifty_units_fifty_succeed(
    make: Factory, shop: ServerProcess, client: httpx.AsyncClient
) -> None:
    item = await make.item(await make.user(), stock=50)
    buyers = await buyers_of(make)
    answers = await asyncio.gather(*(order(client, buyers[number % BUYERS], [(item.id, 1)]) for number in range(200)))
    assert Counter(answer.status_code for answer in answers) == {201: 50, 409: 150}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"insufficient_stock"}
    assert await stocks(make) == {item.id: 0}
    assert await units_sold(make) == {item.id: 50}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 50
    await assert_no_deadlock(make, shop)


async def test_baskets_in_any_order_take_what_they_say_while_items_are_closed_and_orders_cancelled(
    make: Factory, shop: ServerProcess, client: httpx.AsyncClient
) -> None:
    chance = random.Random(20261122)
    seller = await make.user()
    sellers = await make.bearer(seller)
    stock_before = {(await make.item(seller, stock=40)).id: 40 for _ in range(6)}
    bystander = await make.item(seller, stock=5)
    ids = [*stock_before, bystander.id]
    buyers = await buyers_of(make)
    codes: Counter[str] = Counter()

    async def buy(number: int) -> None:
        chosen = chance.sample(list(stock_before), chance.randint(2, 5))
        chance.shuffle(chosen)
        headers = buyers[number % BUYERS]
        answer = await order(client, headers, [(id_, chance.randint(1, 3)) for id_ in chosen])
        codes[answer.json().get("code", "ordered")] += 1
        assert answer.status_code in {201, 409}, answer.text
        if answer.status_code == 201 and number % 4 == 0:
            cancelled = await client.post(f"{answer.headers['location']}/cancel", headers=headers)
            assert cancelled.status_code == 200, cancelled.text
            codes["cancelled"] += 1

    async def rearrange(number: int) -> None:
        """Another statement that locks many items: of all that are on sale, in any order."""
        shuffled = chance.sample(ids, len(ids))
        answer = await client.patch(
            f"{ITEMS}/bulk", json={"ids": shuffled, "is_done": number % 5 == 0}, headers=sellers
        )
        assert (answer.status_code, answer.json()) == (200, {"updated": len(ids)})

    jobs = [buy(number) for number in range(160)] + [rearrange(number) for number in range(30)]
    chance.shuffle(jobs)
    await asyncio.gather(*jobs)
    left, sold = await stocks(make), await units_sold(make)
    assert min(left.values()) >= 0
    assert {id_: left[id_] + sold[id_] for id_ in stock_before} == stock_before
    assert left[bystander.id] == 5
    assert codes["ordered"] > 20, codes
    assert codes["cancelled"] > 5, codes
    await assert_no_deadlock(make, shop)


# When the database does end a transaction so that another can go on: what no order of ours provokes, by hand.


@pytest.fixture
def need_postgresql(real_url: URL) -> None:
    if real_url.get_backend_name() != "postgresql":
        pytest.skip("SQLite has one writer at a time: nobody waits for each other")


@pytest.fixture
async def crossing(real_settings: Settings, need_postgresql: None) -> AsyncIterator[Server]:  # noqa: ARG001 - first of all
    """A server with one more route, which locks two items in the order it is told."""
    app = create_app(real_settings)
    router = Router()

    @router.post("/cross/{first}/{second}")
    async def cross(first: int, second: int, session: SessionDep) -> dict[str, int]:
        for id_ in (first, second):
            await session.execute(text("UPDATE items SET stock = stock + 1 WHERE id = :id"), {"id": id_})
            await asyncio.sleep(0.1)
        return {"first": first}

    @router.post("/lose")
    async def lose(session: SessionDep) -> None:
        await session.execute(text("UPDATE items SET stock = stock + 1"))
        await session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = '40P01'; END $$"))

    app.include_router(router)
    async with serve(app) as server:
        yield server


async def test_who_loses_a_deadlock_tries_again_and_succeeds(crossing: Server) -> None:
    make = Factory(crossing.services)
    seller = await make.user()
    one, two = await make.item(seller), await make.item(seller)
    async with httpx.AsyncClient(base_url=crossing.url, timeout=60) as client:
        answers = await asyncio.gather(
            client.post(f"/cross/{one.id}/{two.id}"), client.post(f"/cross/{two.id}/{one.id}")
        )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert await stocks(make) == {one.id: 2, two.id: 2}, "what the loser had done was undone first"
    await asyncio.sleep(1.2)
    async with crossing.services.database.primary() as session:
        counted = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert await session.scalar(counted) == 1, "there was one"


async def test_an_order_that_loses_a_deadlock_is_placed_once(real_settings: Settings, need_postgresql: None) -> None:  # noqa: ARG001 - first of all
    """Somebody else locks the items the other way round, and has waited for longer than PostgreSQL lets anybody."""
    async with serve(create_app(real_settings)) as server:
        make = Factory(server.services)
        seller, buyer = await make.user(), await make.user()
        one, two = await make.item(seller, stock=5), await make.item(seller, stock=5)
        headers = await make.bearer(buyer) | {"Idempotency-Key": "once"}
        database = server.services.database
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            async with database.write.begin() as other:
                # It never gives way: of two that wait for each other, the one loses whose patience ends first.
                await other.execute(text("SET LOCAL deadlock_timeout = '60s'"))
                await other.execute(text("UPDATE items SET stock = 5 WHERE id = :id"), {"id": two.id})
                placing = asyncio.create_task(order(client, headers, [(two.id, 1), (one.id, 1)]))
                await blocked(server)
                await other.execute(text("UPDATE items SET stock = 5 WHERE id = :id"), {"id": one.id})
            answer = await placing
            again = await order(client, headers, [(two.id, 1), (one.id, 1)])
        assert (answer.status_code, again.status_code) == (201, 201)
        assert again.json() == answer.json()
        assert await stocks(make) == {one.id: 4, two.id: 4}
        await asyncio.sleep(1.2)
        async with database.primary() as session:
            counted = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            assert await session.scalar(counted) == 1


async def blocked(server: Server) -> None:
    """Until a connection waits for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(10):
        while True:
            async with server.services.database.primary() as session:
                if await session.scalar(waiting):
                    return
            await asyncio.sleep(0.01)


async def test_who_loses_every_time_is_told_that_the_database_is_busy(
    crossing: Server, caplog: pytest.LogCaptureFixture
) -> None:
    make = Factory(crossing.services)
    item = await make.item(await make.user(), stock=1)
    async with httpx.AsyncClient(base_url=crossing.url, timeout=60) as client:
        answer = await client.post("/lose")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "mine" not in answer.text
    assert await stocks(make) == {item.id: 1}
    assert any("kept conflicting" in str(record.msg) for record in caplog.records)
