"""What users buy of each other."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, Money, Rate, Str100, TotalMoney, Versioned, enum_type, table_args


class OrderStatus(StrEnum):
    PLACED = "placed"
    PAID = "paid"
    CANCELLED = "cancelled"


class Order(Versioned, Base):
    """One purchase. It outlives its buyer's account and the items: others' books depend on it."""

    __tablename__ = "orders"
    __table_args__ = table_args(
        Index(None, "buyer_id", "created_at", "id"),
        # For the sums of each day.
        Index(None, "created_at", "id"),
    )

    buyer_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    total: Mapped[TotalMoney]
    lines: Mapped[list["OrderLine"]] = relationship(lazy="raise", order_by="OrderLine.id", repr=False)
    status: Mapped[OrderStatus] = mapped_column(enum_type(OrderStatus, 16), default=OrderStatus.PLACED)


class OrderLine(Base):
    """So many of one item, with its title and price as they were when it was sold."""

    __tablename__ = "order_lines"
    __table_args__ = table_args(CheckConstraint("quantity > 0", "quantity_positive"))

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), init=False, index=True)
    item_id: Mapped[int | None] = mapped_column(ForeignKey("items.id", ondelete="SET NULL"), index=True)
    title: Mapped[Str100]
    unit_price: Mapped[Money]
    tax_rate: Mapped[Rate]
    quantity: Mapped[int]
    total: Mapped[TotalMoney]
