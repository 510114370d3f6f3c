"""Counts for the dashboard, one statement each."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.order_counts import count_orders, sum_paid
from app.models.base import Base
from app.models.device_session import DeviceSession
from app.models.item import Item
from app.models.order import Order
from app.models.user import Role, User

DAYS = 30
COUNTED_BY_DAY: list[type[Base]] = [
    User,
    Item,
    Order,
]


@dataclass(frozen=True, slots=True)
class DashboardRows:
    users: dict[str, int]
    items: dict[str, int]
    orders: dict[str, int]
    revenue: Decimal
    sessions: int
    days: list[dict[str, Any]]


async def read_dashboard(session: AsyncSession, now: datetime) -> DashboardRows:
    users = await session.execute(
        select(
            func.count().label("total"),
            func.count().filter(User.is_active).label("active"),
            func.count().filter(User.is_verified).label("verified"),
            func.count().filter(User.role == Role.ADMIN).label("admins"),
        ).select_from(User)
    )
    items = await session.execute(
        select(func.count().label("total"), func.count().filter(Item.is_done.is_(False)).label("open")).select_from(
            Item
        )
    )
    sessions = await session.scalar(
        select(func.count()).select_from(DeviceSession).where(DeviceSession.expires_at > now)
    )
    since = (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    new = {model.__tablename__: await count_by_day(session, model, since) for model in COUNTED_BY_DAY}
    days = [(since + timedelta(days=number)).date() for number in range(DAYS)]
    return DashboardRows(
        users=dict(users.mappings().one()),
        items=dict(items.mappings().one()),
        orders=await count_orders(session),
        revenue=await sum_paid(session),
        sessions=sessions or 0,
        days=[{"day": day.isoformat(), **{name: counts[day] for name, counts in new.items()}} for day in days],
    )


async def count_by_day(session: AsyncSession, model: type[Base], since: datetime) -> Counter[date]:
    """How many rows were created on each day, in UTC."""
    if session.get_bind().dialect.name == "sqlite":
        day = func.date(model.created_at)
    else:
        day = func.to_char(func.timezone("UTC", model.created_at), "YYYY-MM-DD")
    rows = await session.execute(select(day, func.count()).where(model.created_at >= since).group_by(day))
    return Counter({date.fromisoformat(text): count for text, count in rows})
