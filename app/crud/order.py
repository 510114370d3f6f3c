"""Orders in the database."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app.crud.base import CRUD
from app.crud.page import PageQuery, PageRows
from app.models.order import Order, OrderStatus


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """None filters nothing."""

    buyer_id: int
    status: OrderStatus | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        mine = [Order.buyer_id == self.buyer_id]
        return mine if self.status is None else [*mine, Order.status == self.status]


class OrderCRUD(CRUD[Order]):
    owner_column = "buyer_id"

    async def of_buyer(self, session: AsyncSession, buyer_id: int) -> list[Order]:
        mine = self.selection.where(Order.buyer_id == buyer_id).order_by(Order.id)
        return list((await session.scalars(mine)).unique())

    async def search(self, session: AsyncSession, query: PageQuery, filter_: OrderFilter) -> PageRows[Order]:
        return await self.page(session, query, filter_)


orders = OrderCRUD(
    Order, "order", options=[joinedload(Order.lines, innerjoin=True)], sorts={"created_at": Order.created_at}
)
