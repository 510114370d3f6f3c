"""Orders in the database."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app.crud.base import CRUD
from app.crud.page import PageQuery, PageRows
from app.models.order import Order, OrderLine, OrderStatus


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

    async def lines_of(self, session: AsyncSession, order_ids: Collection[int]) -> dict[int, list[Any]]:
        """The lines of some orders, as rows: each has a hundred at most."""
        if not order_ids:
            return {}
        lines = select(*OrderLine.__table__.columns).where(OrderLine.order_id.in_(order_ids)).order_by(OrderLine.id)
        found: dict[int, list[Any]] = {id_: [] for id_ in order_ids}
        for line in await session.execute(lines):
            found[line.order_id].append(line)
        return found

    async def search(self, session: AsyncSession, query: PageQuery, filter_: OrderFilter) -> PageRows[Order]:
        return await self.page(session, query, filter_)


orders = OrderCRUD(
    Order, "order", options=[joinedload(Order.lines, innerjoin=True)], sorts={"created_at": Order.created_at}
)
