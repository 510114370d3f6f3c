"""Items in the database."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app.crud.base import CRUD, PageQuery, PageRows
from app.models.item import Item
from app.models.user import User


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """None filters nothing. `q` is looked for in title and description, its `%` and `_` taken literally."""

    q: str | None = None
    owner_id: int | None = None
    is_done: bool | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if self.q is not None:
            columns = (Item.title, Item.description)
            conditions.append(or_(*(column.icontains(self.q, autoescape=True) for column in columns)))
        if self.owner_id is not None:
            conditions.append(Item.owner_id == self.owner_id)
        if self.is_done is not None:
            conditions.append(Item.is_done.is_(self.is_done))
        if self.min_price is not None:
            conditions.append(Item.price >= self.min_price)
        if self.max_price is not None:
            conditions.append(Item.price <= self.max_price)
        return conditions


class ItemCRUD(CRUD[Item]):
    async def of_owner(self, session: AsyncSession, owner_id: int) -> list[Item]:
        return list(await session.scalars(self.selection.where(Item.owner_id == owner_id).order_by(Item.id)))

    async def search(self, session: AsyncSession, query: PageQuery, filter_: ItemFilter) -> PageRows[Item]:
        return await self.page(session, query, filter_.conditions())


items = ItemCRUD(
    Item,
    "item",
    options=[joinedload(Item.owner, innerjoin=True).load_only(User.id, User.username)],
    sorts={"id": Item.id, "created_at": Item.created_at, "price": Item.price, "title": Item.title},
    conflicts={"uq_items_owner_id_sku": "sku_taken"},
)
