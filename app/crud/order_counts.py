"""The number of orders and their revenue, one statement each."""

from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.order import Order, OrderStatus


async def count_orders(session: AsyncSession) -> dict[str, int]:
    counts = await session.execute(
        select(
            func.count().label("total"),
            *(func.count().filter(Order.status == status).label(status.value) for status in OrderStatus),
        ).select_from(Order)
    )
    return dict(counts.mappings().one())


async def sum_paid(session: AsyncSession) -> Decimal:
    paid = await session.scalar(select(func.sum(Order.total)).where(Order.status == OrderStatus.PAID))
    return paid or Decimal(0)
