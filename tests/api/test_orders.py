"""`/orders`: what is bought is paid for as it was sold, once, and out of stock that was there."""

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.item import Item
from app.models.order import Order, OrderLine, OrderStatus
from tests.api.calls import code
from tests.factories import PASSWORD, Factory
from tests.server import Server

URL = "/api/v1/orders"
ITEMS = "/api/v1/items"

type Headers = dict[str, str]


def basket(*lines: tuple[int, int]) -> dict[str, Any]:
    """(item's id, quantity) of each line."""
    return {"lines": [{"item_id": item_id, "quantity": quantity} for item_id, quantity in lines]}


async def place(client: httpx.AsyncClient, headers: Headers, *lines: tuple[int, int]) -> dict[str, Any]:
    answer = await client.post(URL, json=basket(*lines), headers=headers)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def stock_of(session: AsyncSession, item: Item) -> int | None:
    return await session.scalar(select(Item.stock).where(Item.id == item.id))


async def count(session: AsyncSession, model: type[Any]) -> int:
    return await session.scalar(select(func.count()).select_from(model)) or 0


# Placing


async def test_a_placed_order_is_answered_located_tagged_and_stored(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    seller, buyer = await make.user(), await make.user()
    lamp = await make.item(seller, title="Lamp", price=Decimal("19.99"), tax_rate=Decimal("0.19"), stock=5)
    book = await make.item(seller, title="Book", price=Decimal("10.00"), tax_rate=Decimal("0.07"), stock=1)
    answer = await client.post(URL, json=basket((book.id, 1), (lamp.id, 3)), headers=await make.bearer(buyer))
    assert answer.status_code == 201
    order = answer.json()
    assert answer.headers["location"] == f"{URL}/{order['id']}"
    assert answer.headers["etag"] == '"1"'
    assert order.pop("created_at")
    assert order == {
        "id": order["id"],
        "status": "placed",
        # 10.70 and 71.3643
        "total": "82.06",
        "buyer_id": buyer.id,
        "lines": [
            {"item_id": book.id, "title": "Book", "unit_price": "10.00", "tax_rate": "0.07", "quantity": 1}
            | {"total": "10.70"},
            {"item_id": lamp.id, "title": "Lamp", "unit_price": "19.99", "tax_rate": "0.19", "quantity": 3}
            | {"total": "71.36"},
        ],
    }
    stored = await session.get_one(Order, order["id"])
    assert (stored.buyer_id, stored.total, stored.status) == (buyer.id, Decimal("82.06"), OrderStatus.PLACED)
    assert (await stock_of(session, lamp), await stock_of(session, book)) == (2, 0)


async def test_an_order_reads_as_it_was_answered_and_its_tag_saves_the_transfer(
    client: httpx.AsyncClient, make: Factory
) -> None:
    item = await make.item(await make.user(), stock=1)
    headers = await make.bearer(await make.user())
    placed = await client.post(URL, json=basket((item.id, 1)), headers=headers)
    read = await client.get(placed.headers["location"], headers=headers)
    assert (read.status_code, read.json(), read.headers["etag"]) == (200, placed.json(), placed.headers["etag"])
    tag = {"If-None-Match": read.headers["etag"]}
    assert (await client.get(placed.headers["location"], headers=headers | tag)).status_code == 304


async def test_an_order_shows_title_price_and_tax_as_they_were_when_it_was_sold(
    client: httpx.AsyncClient, make: Factory
) -> None:
    seller = await make.user()
    item = await make.item(seller, title="Lamp", price=Decimal("19.99"), tax_rate=Decimal("0.19"), stock=5)
    headers = await make.bearer(await make.user())
    placed = await place(client, headers, (item.id, 2))
    change = {"title": "Chandelier", "price": "99.99", "tax_rate": "0.07"}
    changed = await client.patch(f"{ITEMS}/{item.id}", json=change, headers=await make.bearer(seller))
    assert changed.status_code == 200
    assert (await client.get(f"{URL}/{placed['id']}", headers=headers)).json() == placed
    again = await place(client, headers, (item.id, 1))
    assert (again["lines"][0]["title"], again["total"]) == ("Chandelier", "106.99")


@pytest.mark.parametrize(
    ("price", "tax_rate", "quantity", "total"),
    [
        # The line is rounded, not the unit: 3 x 0.125 would be 0.39 if each were.
        ("0.10", "0.25", 3, "0.38"),
        ("0.10", "0.25", 1, "0.13"),
        ("0.50", "0.01", 1, "0.51"),
        # Half to even would be 0.02 and 0.04 both times.
        ("0.02", "0.25", 1, "0.03"),
        ("0.10", "0.05", 1, "0.11"),
        ("0.30", "0.05", 1, "0.32"),
        ("0.01", "0.4999", 1, "0.01"),
        ("0.00", "0.19", 1000, "0.00"),
        ("19.99", "0", 7, "139.93"),
        ("19.99", "1", 1, "39.98"),
        ("9999999.99", "1", 1000, "19999999980.00"),
        ("9999999.99", "0.9999", 999, "19979000980.02"),
    ],
)
async def test_a_line_is_price_with_tax_times_quantity_rounded_half_up(
    client: httpx.AsyncClient,
    make: Factory,
    session: AsyncSession,
    price: str,
    tax_rate: str,
    quantity: int,
    total: str,
) -> None:
    item = await make.item(await make.user(), price=Decimal(price), tax_rate=Decimal(tax_rate), stock=quantity)
    order = await place(client, await make.bearer(await make.user()), (item.id, quantity))
    assert (order["lines"][0]["total"], order["total"]) == (total, total)
    assert await session.scalar(select(OrderLine.total)) == Decimal(total)


async def test_the_total_is_the_sum_of_the_rounded_lines(client: httpx.AsyncClient, make: Factory) -> None:
    seller = await make.user()
    items = [await make.item(seller, price=Decimal("0.10"), tax_rate=Decimal("0.25"), stock=1) for _ in range(4)]
    order = await place(client, await make.bearer(await make.user()), *((item.id, 1) for item in items))
    assert {line["total"] for line in order["lines"]} == {"0.13"}
    assert order["total"] == "0.52", "of the sum, unrounded: 0.50"


async def test_the_largest_order_there_can_be_is_stored(client: httpx.AsyncClient, make: Factory) -> None:
    seller = await make.user()
    dear = {"price": Decimal("9999999.99"), "tax_rate": Decimal(1), "stock": 1000}
    items = [await make.item(seller, **dear) for _ in range(100)]
    headers = await make.bearer(await make.user())
    order = await place(client, headers, *((item.id, 1000) for item in items))
    assert order["total"] == "1999999998000.00"
    assert (await client.get(f"{URL}/{order['id']}", headers=headers)).json() == order


async def test_lines_keep_the_order_of_the_request(client: httpx.AsyncClient, make: Factory) -> None:
    seller = await make.user()
    ids = [(await make.item(seller, stock=1)).id for _ in range(5)]
    wanted = [ids[number] for number in (3, 0, 4, 2, 1)]
    headers = await make.bearer(await make.user())
    order = await place(client, headers, *((id_, 1) for id_ in wanted))
    assert [line["item_id"] for line in order["lines"]] == wanted
    read = await client.get(f"{URL}/{order['id']}", headers=headers)
    assert [line["item_id"] for line in read.json()["lines"]] == wanted


async def test_a_sale_is_a_change_of_the_item_with_a_version_of_its_own(
    client: httpx.AsyncClient, make: Factory
) -> None:
    seller = await make.user()
    item = await make.item(seller, stock=3)
    headers, sellers = await make.bearer(await make.user()), await make.bearer(seller)
    before = await client.get(f"{ITEMS}/{item.id}", headers=sellers)
    order = await place(client, headers, (item.id, 1))
    sold = await client.get(f"{ITEMS}/{item.id}", headers=sellers | {"If-None-Match": before.headers["etag"]})
    assert (sold.status_code, sold.headers["etag"], sold.json()["stock"]) == (200, '"2"', 2)
    assert sold.json()["updated_at"] > before.json()["updated_at"]
    stale = await client.patch(
        f"{ITEMS}/{item.id}", json={"stock": 3}, headers=sellers | {"If-Match": before.headers["etag"]}
    )
    assert code(stale) == (412, "version_mismatch"), "the seller must not undo a sale they have not seen"
    assert (await client.post(f"{URL}/{order['id']}/cancel", headers=headers)).status_code == 200
    back = await client.get(f"{ITEMS}/{item.id}", headers=sellers)
    assert (back.headers["etag"], back.json()["stock"]) == ('"3"', 3)


# Refusing


async def test_what_cannot_be_sold_is_refused_and_nothing_has_changed(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    seller, buyer = await make.user(), await make.user()
    good = await make.item(seller, stock=9)
    own = await make.item(buyer, stock=9)
    closed = await make.item(seller, stock=9, is_done=True)
    scarce = await make.item(seller, stock=2)
    headers = await make.bearer(buyer)
    for line, expected in (
        ((2**53 - 1, 1), (404, "item_not_found")),
        ((own.id, 1), (409, "own_item")),
        ((closed.id, 1), (409, "item_closed")),
        ((scarce.id, 3), (409, "insufficient_stock")),
    ):
        for lines in ([line], [(good.id, 1), line], [line, (good.id, 1)]):
            answer = await client.post(URL, json=basket(*lines), headers=headers)
            assert code(answer) == expected
            assert "location" not in answer.headers
    assert (await count(session, Order), await count(session, OrderLine)) == (0, 0)
    for item, stock in ((good, 9), (own, 9), (closed, 9), (scarce, 2)):
        fresh = await session.get_one(Item, item.id, populate_existing=True)
        assert (fresh.stock, fresh.version) == (stock, 1)


async def test_of_several_faults_the_first_item_tells_and_of_one_item_the_gravest(
    client: httpx.AsyncClient, make: Factory
) -> None:
    seller, buyer = await make.user(), await make.user()
    scarce = await make.item(seller, stock=0)
    closed_and_empty = await make.item(seller, stock=0, is_done=True)
    own_closed_and_empty = await make.item(buyer, stock=0, is_done=True)
    headers = await make.bearer(buyer)
    for lines, expected in (
        ([(own_closed_and_empty.id, 1)], "own_item"),
        ([(closed_and_empty.id, 1)], "item_closed"),
        # In the order of ids, in which the items are locked.
        ([(own_closed_and_empty.id, 1), (closed_and_empty.id, 1)], "item_closed"),
        ([(own_closed_and_empty.id, 1), (closed_and_empty.id, 1), (scarce.id, 1)], "insufficient_stock"),
        ([(2**53 - 1, 1), (own_closed_and_empty.id, 1)], "own_item"),
    ):
        answer = await client.post(URL, json=basket(*lines), headers=headers)
        assert answer.json()["code"] == expected, lines


async def test_all_of_a_stock_can_be_bought_and_no_more(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    item = await make.item(await make.user(), stock=1000)
    headers = await make.bearer(await make.user())
    await place(client, headers, (item.id, 1000))
    assert await stock_of(session, item) == 0
    answer = await client.post(URL, json=basket((item.id, 1)), headers=headers)
    assert code(answer) == (409, "insufficient_stock")
    assert answer.json()["detail"] == f"Of item {item.id} there are 0 left."


LINE = {"item_id": 1, "quantity": 1}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"lines": []},
        {"lines": None},
        {"lines": LINE},
        {"lines": [LINE | {"item_id": number} for number in range(1, 102)]},
        {"lines": [LINE, LINE | {"quantity": 2}]},
        {"lines": [LINE, LINE | {"item_id": 1.0}]},
        *({"lines": [LINE | {"quantity": quantity}]} for quantity in (0, -1, 1001, 1.5, "1", True, None, 1e300)),
        *({"lines": [LINE | {"item_id": item_id}]} for item_id in (0, -1, 2**53, 2**63, 1.5, "1", True, None)),
        {"lines": [{"item_id": 1}]},
        {"lines": [{"quantity": 1}]},
        {"lines": [LINE | {"unit_price": "0.01"}]},
        {"lines": [LINE], "buyer_id": 1},
        {"lines": [LINE], "status": "paid"},
        [],
    ],
)
async def test_an_invalid_order_is_refused(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, body: Any
) -> None:
    await make.item(await make.user(), stock=9)
    answer = await client.post(URL, json=body, headers=await make.bearer(await make.user()))
    assert code(answer) == (422, "validation_error")
    assert await count(session, Order) == 0


async def test_an_order_of_a_hundred_lines_is_taken(client: httpx.AsyncClient, make: Factory) -> None:
    seller = await make.user()
    items = [await make.item(seller, stock=1) for _ in range(100)]
    order = await place(client, await make.bearer(await make.user()), *((item.id, 1) for item in items))
    assert len(order["lines"]) == 100


# Who may


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("POST", ""), ("GET", "/1"), ("POST", "/1/cancel"), ("POST", "/1/pay")]
)
async def test_anonymous_calls_are_challenged(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, URL + path, json=basket((1, 1)) if (method, path) == ("POST", "") else None)
    assert code(answer) == (401, "not_authenticated")


async def test_each_call_asks_for_its_scope(client: httpx.AsyncClient, make: Factory) -> None:
    item = await make.item(await make.user(), stock=9)
    buyer = await make.user()
    order = await place(client, await make.bearer(buyer), (item.id, 1))
    reader = await make.bearer(buyer, scope="orders:read")
    writer = await make.bearer(buyer, scope="orders:write")
    other = await make.bearer(buyer, scope="items:write items:read")
    for method, path, body, allowed in (
        ("GET", "", None, reader),
        ("GET", f"/{order['id']}", None, reader),
        ("POST", "", basket((item.id, 1)), writer),
        ("POST", f"/{order['id']}/cancel", None, writer),
    ):
        for headers in (reader, writer, other):
            answer = await client.request(method, URL + path, json=body, headers=headers)
            if headers is allowed:
                assert answer.status_code in {200, 201}, answer.text
            else:
                assert code(answer) == (403, "insufficient_scope")


async def test_someone_elses_order_is_not_found_but_by_an_admin(client: httpx.AsyncClient, make: Factory) -> None:
    seller, admin = await make.user(), await make.admin()
    item = await make.item(seller, stock=9)
    order = await place(client, await make.bearer(await make.user()), (item.id, 1))
    for headers in (
        await make.bearer(await make.user()),
        await make.bearer(seller),
        await make.bearer(admin, scope="orders:read orders:write"),
    ):
        for answer in (
            await client.get(f"{URL}/{order['id']}", headers=headers),
            await client.post(f"{URL}/{order['id']}/cancel", headers=headers),
        ):
            missing = await client.get(f"{URL}/{order['id'] + 1}", headers=headers)
            assert code(answer) == code(missing) == (404, "order_not_found")
            assert answer.json()["detail"] == missing.json()["detail"].replace(str(order["id"] + 1), str(order["id"]))
    admins = await make.bearer(admin)
    assert (await client.get(f"{URL}/{order['id']}", headers=admins)).json() == order
    assert (await client.post(f"{URL}/{order['id']}/cancel", headers=admins)).json()["status"] == "cancelled"


# Listing


async def ids_listed(client: httpx.AsyncClient, headers: Headers, **params: Any) -> list[int]:
    answer = await client.get(URL, params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return [order["id"] for order in answer.json()["items"]]


async def test_the_list_shows_ones_own_orders_newest_first_with_their_lines(
    client: httpx.AsyncClient, make: Factory
) -> None:
    seller, admin = await make.user(), await make.admin()
    one, two = await make.item(seller, stock=99), await make.item(seller, stock=99)
    alice, bob = await make.bearer(await make.user()), await make.bearer(await make.user())
    first = await place(client, alice, (one.id, 1), (two.id, 2))
    await place(client, bob, (one.id, 1))
    second = await place(client, alice, (two.id, 3))
    answer = await client.get(URL, headers=alice)
    assert answer.json()["items"] == [second, first]
    assert answer.json()["total"] == 2
    assert await ids_listed(client, alice, sort="created_at") == [first["id"], second["id"]]
    assert await ids_listed(client, await make.bearer(admin)) == [], "an admin's list is theirs too"
    assert await ids_listed(client, await make.bearer(seller)) == []


async def test_the_list_is_filtered_by_status_and_continued_by_cursor(client: httpx.AsyncClient, make: Factory) -> None:
    item = await make.item(await make.user(), stock=99)
    headers, admins = await make.bearer(await make.user()), await make.bearer(await make.admin())
    # Two lines an order: a limit counts orders, not rows of the join.
    other = await make.item(await make.user(), stock=99)
    ids = [(await place(client, headers, (item.id, 1), (other.id, 1)))["id"] for _ in range(5)]
    await client.post(f"{URL}/{ids[1]}/cancel", headers=headers)
    await client.post(f"{URL}/{ids[3]}/pay", headers=admins)
    assert await ids_listed(client, headers, status="placed") == [ids[4], ids[2], ids[0]]
    assert await ids_listed(client, headers, status="cancelled") == [ids[1]]
    assert await ids_listed(client, headers, status="paid") == [ids[3]]
    assert await ids_listed(client, headers, skip=1, limit=2) == [ids[3], ids[2]]
    page = (await client.get(URL, params={"limit": 2, "status": "placed"}, headers=headers)).json()
    assert ([order["id"] for order in page["items"]], page["total"]) == ([ids[4], ids[2]], 3)
    cursor = page["next_cursor"]
    assert await ids_listed(client, headers, status="placed", cursor=cursor) == [ids[0]]
    wrong = await client.get(URL, params={"cursor": cursor}, headers=headers)
    assert code(wrong) == (422, "invalid_cursor")


async def test_a_cursor_of_one_buyer_is_of_no_use_to_another(client: httpx.AsyncClient, make: Factory) -> None:
    item = await make.item(await make.user(), stock=99)
    alice, bob = await make.bearer(await make.user()), await make.bearer(await make.user())
    for headers in (alice, alice, bob):
        await place(client, headers, (item.id, 1))
    for url in (URL, "/api/v2/orders"):
        page = (await client.get(url, params={"limit": 1}, headers=alice)).json()
        cursor = page["next_cursor"] if "next_cursor" in page else page["meta"]["next_cursor"]
        answer = await client.get(url, params={"cursor": cursor}, headers=bob)
        assert code(answer) == (422, "invalid_cursor")


@pytest.mark.parametrize("params", [{"status": "open"}, {"status": ""}, {"sort": "total"}, {"sort": "id"}])
async def test_senseless_list_parameters_are_invalid(
    client: httpx.AsyncClient, make: Factory, params: dict[str, str]
) -> None:
    headers = await make.bearer(await make.user())
    for url in (URL, "/api/v2/orders"):
        assert code(await client.get(url, params=params, headers=headers)) == (422, "validation_error")


# Cancelling and paying


async def test_a_cancelled_order_gives_its_stock_back_once(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    seller = await make.user()
    one, two = await make.item(seller, stock=5), await make.item(seller, stock=5)
    headers = await make.bearer(await make.user())
    order = await place(client, headers, (two.id, 2), (one.id, 5))
    assert (await stock_of(session, one), await stock_of(session, two)) == (0, 3)
    cancelled = await client.post(f"{URL}/{order['id']}/cancel", headers=headers)
    assert cancelled.status_code == 200
    assert cancelled.json() == order | {"status": "cancelled"}
    assert cancelled.headers["etag"] == '"2"'
    assert (await client.get(f"{URL}/{order['id']}", headers=headers)).headers["etag"] == '"2"'
    again = await client.post(f"{URL}/{order['id']}/cancel", headers=headers)
    assert code(again) == (409, "not_cancellable")
    assert (await stock_of(session, one), await stock_of(session, two)) == (5, 5)


@pytest.mark.real_database
async def test_of_ten_that_cancel_an_order_at_once_one_does_and_the_stock_comes_back_once(server: Server) -> None:
    make = Factory(server.services)
    seller = await make.user()
    one, two = await make.item(seller, stock=3), await make.item(seller, stock=7)
    headers = await make.bearer(await make.user())
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        order = await place(client, headers, (one.id, 1), (two.id, 2))
        answers = await asyncio.gather(
            *(client.post(f"{URL}/{order['id']}/cancel", headers=headers) for _ in range(10))
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"not_cancellable"}
    async with server.services.database.primary() as session:
        assert (await stock_of(session, one), await stock_of(session, two)) == (3, 7)


@pytest.mark.real_database
async def test_of_a_payment_and_a_cancellation_at_once_one_wins(server: Server) -> None:
    make = Factory(server.services)
    item = await make.item(await make.user(), stock=1)
    headers, admins = await make.bearer(await make.user()), await make.bearer(await make.admin())
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        order = await place(client, headers, (item.id, 1))
        url = f"{URL}/{order['id']}"
        calls = [(f"{url}/pay", admins), (f"{url}/cancel", headers)] * 4
        answers = await asyncio.gather(*(client.post(path, headers=who) for path, who in calls))
        status = (await client.get(url, headers=headers)).json()["status"]
    [won] = [answer for answer in answers if answer.status_code == 200]
    assert won.json()["status"] == status
    async with server.services.database.primary() as session:
        assert await stock_of(session, item) == (1 if status == "cancelled" else 0)


async def test_an_admin_marks_an_order_as_paid_once_and_then_it_cannot_be_cancelled(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    item = await make.item(await make.user(), stock=1)
    headers, admins = await make.bearer(await make.user()), await make.bearer(await make.admin())
    order = await place(client, headers, (item.id, 1))
    url = f"{URL}/{order['id']}"
    assert code(await client.post(f"{url}/pay", headers=headers)) == (403, "insufficient_scope")
    paid = await client.post(f"{url}/pay", headers=admins)
    assert (paid.status_code, paid.json()) == (200, order | {"status": "paid"})
    assert paid.headers["etag"] == '"2"'
    assert code(await client.post(f"{url}/pay", headers=admins)) == (409, "not_payable")
    for who in (headers, admins):
        assert code(await client.post(f"{url}/cancel", headers=who)) == (409, "not_cancellable")
    assert await stock_of(session, item) == 0


async def test_a_cancelled_order_cannot_be_paid(client: httpx.AsyncClient, make: Factory) -> None:
    item = await make.item(await make.user(), stock=1)
    headers, admins = await make.bearer(await make.user()), await make.bearer(await make.admin())
    order = await place(client, headers, (item.id, 1))
    assert (await client.post(f"{URL}/{order['id']}/cancel", headers=headers)).status_code == 200
    assert code(await client.post(f"{URL}/{order['id']}/pay", headers=admins)) == (409, "not_payable")
    missing = await client.post(f"{URL}/{order['id'] + 1}/pay", headers=admins)
    assert code(missing) == (404, "order_not_found")


# What goes while orders stay


async def test_an_order_outlives_its_items_and_can_still_be_cancelled(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    seller = await make.user()
    gone, kept = await make.item(seller, title="Gone", stock=3), await make.item(seller, stock=3)
    headers = await make.bearer(await make.user())
    order = await place(client, headers, (gone.id, 1), (kept.id, 1))
    assert (await client.delete(f"{ITEMS}/{gone.id}", headers=await make.bearer(seller))).status_code == 204
    read = (await client.get(f"{URL}/{order['id']}", headers=headers)).json()
    assert [line["item_id"] for line in read["lines"]] == [None, kept.id]
    assert (read["lines"][0]["title"], read["total"]) == ("Gone", order["total"])
    cancelled = await client.post(f"{URL}/{order['id']}/cancel", headers=headers)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert await stock_of(session, kept) == 3


async def test_an_order_of_items_that_are_all_gone_can_be_cancelled(client: httpx.AsyncClient, make: Factory) -> None:
    seller = await make.user()
    item = await make.item(seller, stock=3)
    headers = await make.bearer(await make.user())
    order = await place(client, headers, (item.id, 1))
    await client.delete(f"{ITEMS}/{item.id}", headers=await make.bearer(seller))
    assert (await client.post(f"{URL}/{order['id']}/cancel", headers=headers)).status_code == 200


async def test_an_order_outlives_its_buyer(client: httpx.AsyncClient, make: Factory, session: AsyncSession) -> None:
    item = await make.item(await make.user(), stock=3)
    buyer, admins = await make.user(), await make.bearer(await make.admin())
    order = await place(client, await make.bearer(buyer), (item.id, 2))
    deleted = await client.request(
        "DELETE", "/api/v1/users/me", json={"password": PASSWORD}, headers=await make.bearer(buyer)
    )
    assert deleted.status_code == 204
    read = await client.get(f"{URL}/{order['id']}", headers=admins)
    assert (read.status_code, read.json()) == (200, order | {"buyer_id": None})
    cancelled = await client.post(f"{URL}/{order['id']}/cancel", headers=admins)
    assert cancelled.json()["status"] == "cancelled"
    assert await stock_of(session, item) == 3


async def test_an_order_outlives_its_seller(client: httpx.AsyncClient, make: Factory) -> None:
    seller = await make.user()
    item = await make.item(seller, stock=3)
    headers, admins = await make.bearer(await make.user()), await make.bearer(await make.admin())
    order = await place(client, headers, (item.id, 2))
    assert (await client.delete(f"/api/v1/users/{seller.id}", headers=admins)).status_code == 204
    read = (await client.get(f"{URL}/{order['id']}", headers=headers)).json()
    assert (read["lines"][0]["item_id"], read["total"]) == (None, order["total"])


# Where else orders show


async def test_the_dashboard_counts_orders_and_the_revenue_of_paid_ones(
    client: httpx.AsyncClient, make: Factory
) -> None:
    admins = await make.bearer(await make.admin())
    dashboard = "/api/v1/admin/dashboard"
    empty = (await client.get(dashboard, headers=admins)).json()
    assert (empty["orders"], empty["revenue"]) == ({"total": 0, "placed": 0, "paid": 0, "cancelled": 0}, "0.00")
    item = await make.item(await make.user(), price=Decimal("19.99"), tax_rate=Decimal("0.19"), stock=99)
    headers = await make.bearer(await make.user())
    orders = [await place(client, headers, (item.id, quantity)) for quantity in (1, 2, 3, 4)]
    for order in orders[:2]:
        await client.post(f"{URL}/{order['id']}/pay", headers=admins)
    await client.post(f"{URL}/{orders[2]['id']}/cancel", headers=headers)
    shown = (await client.get(dashboard, headers=admins)).json()
    assert shown["orders"] == {"total": 4, "placed": 1, "paid": 2, "cancelled": 1}
    assert shown["revenue"] == str(Decimal(orders[0]["total"]) + Decimal(orders[1]["total"])) == "71.37"
    assert [day["orders"] for day in shown["days"]] == [0] * 29 + [4]


async def test_the_export_of_an_account_has_its_orders(client: httpx.AsyncClient, make: Factory) -> None:
    one, two = await make.item(await make.user(), stock=9), await make.item(await make.user(), stock=9)
    alice, bob = await make.bearer(await make.user()), await make.bearer(await make.user())
    orders = [await place(client, alice, (two.id, 1), (one.id, 1)), await place(client, alice, (one.id, 2))]
    await place(client, bob, (one.id, 1))
    assert (await client.get("/api/v1/users/me/export", headers=alice)).json()["orders"] == orders
