"""`/items/{item_id}/stock`: the stock of an item, from the inventory service if there is one."""

from typing import Annotated

from fastapi import Path

from app.api.deps import AppServicesDep
from app.api.errors import responses
from app.api.router import Router
from app.api.v1.items.items import ItemReader
from app.crud.item import items
from app.schemas.parameters import IdParameter
from app.schemas.stock import StockRead

router = Router(prefix="/items/{item_id}/stock", tag="items", responses=responses(401, 403))

ItemId = Annotated[IdParameter, Path(examples=[42])]


@router.get("", summary="See how many there are", responses=responses(404))
async def read_stock(item_id: ItemId, _: ItemReader, services: AppServicesDep) -> StockRead:
    """From the inventory where the server has one, else the item's own `stock`; 503 while the inventory is down."""
    # Not ReadSessionDep: its session would keep a connection while the inventory is asked.
    async with services.database.read() as session:
        item = await items.get(session, item_id)
    if services.inventory is None:
        return StockRead(item_id=item_id, stock=item.stock, source="local")
    return StockRead(item_id=item_id, stock=await services.inventory.count(item_id), source="inventory")
