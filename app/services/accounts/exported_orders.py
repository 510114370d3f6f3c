"""What is exported of an account's orders, with their lines."""

from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.prepared import Row, row_fields
from app.crud.batch import Batch, Place
from app.crud.order import OrderFilter, orders
from app.schemas.order import OrderRead
from app.services.accounts.export_part import Part

# Each may have a hundred lines.
FEW = 10


class OrderWithLines(NamedTuple):
    order: Row
    lines: list[Any]


def exported_orders(user_id: int) -> Part:
    async def find(session: AsyncSession, after: Place | None, last_id: int) -> Batch:
        found, next_ = await orders.batch(session, OrderFilter(user_id), after, last_id, FEW)
        lines = await orders.lines_of(session, [order.id for order in found])
        return Batch([OrderWithLines(order, lines[order.id]) for order in found], next_)

    return Part("orders", orders, find, show)


def show(found: OrderWithLines) -> OrderRead:
    return OrderRead.model_validate({**row_fields(found.order), "lines": found.lines})
