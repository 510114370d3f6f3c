"""Orders and their lines."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, Money, Rate, Str100, TotalMoney, Versioned, enum_type, table_args


class OrderStatus(StrEnum):
    PLACED = "placed"
    PAID = "paid"
    CANCELLED = "cancelled"


class Order(Versioned, Base):
    """One purchase. It outlives the buyer's account and the items: the sellers' accounts depend on it."""

    __tablename__ = "orders"
    __table_args__ = table_args(
        Index(None, "buyer_id", "created_at", "id"),
        # For the dashboard's daily sums.
        Index(None, "created_at", "id"),
    )

    buyer_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    total: Mapped[TotalMoney]
    lines: Mapped[list["OrderLine"]] = relationship(lazy="raise", order_by="OrderLine.id", repr=False)
    status: Mapped[OrderStatus] = mapped_column(enum_type(OrderStatus, 16), default=OrderStatus.PLACED)


class OrderLine(Base):
    """A quantity of one item, with its title and price at the time of sale."""

    __tablename__ = "order_lines"
    __table_args__ = table_args(CheckConstraint("quantity > 0", "quantity_positive"))

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), init=False, index=True)
    item_id: Mapped[int | None] = mapped_column(ForeignKey("items.id", ondelete="SET NULL"), index=True)
    title: Mapped[Str100]
    unit_price: Mapped[Money]
    tax_rate: Mapped[Rate]
    quantity: Mapped[int]
    total: Mapped[TotalMoney]
