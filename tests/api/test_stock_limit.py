"""The greatest stock: whatever comes back to it, it stays one that an item can have."""

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.numbers import MAX_INT32
from app.models.item import Item
from tests.factories import Factory

ITEMS, ORDERS = "/api/v1/items", "/api/v1/orders"


@pytest.mark.parametrize("quantity", [1, 1000])
@pytest.mark.parametrize("room", [0, 1, 1000])
async def test_an_order_is_cancelled_though_its_item_has_all_the_stock_it_can_have(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, quantity: int, room: int
) -> None:
    seller, buyer = await make.user(), await make.user()
    full, other = await make.item(seller, stock=quantity), await make.item(seller, stock=5)
    headers = await make.bearer(buyer)
    lines = [{"item_id": full.id, "quantity": quantity}, {"item_id": other.id, "quantity": 2}]
    placed = await client.post(ORDERS, json={"lines": lines}, headers=headers)
    assert placed.status_code == 201, placed.text
    stock = {"stock": MAX_INT32 - room}
    filled = await client.patch(f"{ITEMS}/{full.id}", json=stock, headers=await make.bearer(seller))
    assert filled.status_code == 200, filled.text
    cancelled = await client.post(f"{ORDERS}/{placed.json()['id']}/cancel", headers=headers)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    stocks = await session.execute(select(Item.id, Item.stock).where(Item.id.in_([full.id, other.id])))
    assert dict(stocks.all()) == {full.id: min(MAX_INT32, MAX_INT32 - room + quantity), other.id: 5}
    # The seller can still save what is shown.
    shown = (await client.get(f"{ITEMS}/{full.id}", headers=headers)).json()["stock"]
    saved = await client.patch(f"{ITEMS}/{full.id}", json={"stock": shown}, headers=await make.bearer(seller))
    assert saved.status_code == 200
