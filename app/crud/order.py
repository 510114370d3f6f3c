"""Orders in the database."""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app.crud.base import CRUD
from app.crud.filters import Filter, equals
from app.crud.typed import VersionedRow
from app.models.order import Order, OrderLine, OrderStatus


class OrderFilter(Filter):
    buyer_id: int = equals(Order.buyer_id)
    status: OrderStatus | None = equals(Order.status)


class OrderRow(VersionedRow):
    buyer_id: int | None
    total: Decimal
    status: OrderStatus


class OrderCRUD(CRUD[Order, OrderRow]):
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


orders = OrderCRUD(
    Order, OrderRow, "order", options=[joinedload(Order.lines, innerjoin=True)], sorts={"created_at": Order.created_at}
)
