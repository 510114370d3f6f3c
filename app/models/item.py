"""What users offer."""

from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, LongText, Money, Rate, Str100, Versioned, table_args
from app.models.decimals import WithTax
from app.models.user import User


class Item(Versioned, Base):
    """Something a user offers for sale."""

    __tablename__ = "items"
    __table_args__ = table_args(
        UniqueConstraint("owner_id", "sku"),
        CheckConstraint("stock >= 0", "stock_not_negative"),
        CheckConstraint("price >= 0", "price_not_negative"),
        # One index for each order a list can have; the first two also serve the owner's and the open lists.
        # `is_done` comes along, so that an owner's open items are counted without a look at their rows.
        Index(None, "owner_id", "created_at", "id", postgresql_include=["is_done"]),
        Index(None, "is_done", "created_at", "id"),
        Index(None, "created_at", "id"),
        Index(None, "price", "id"),
        Index(None, "title", "id"),
    )

    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), init=False)
    owner: Mapped[User] = relationship(repr=False, lazy="raise")
    title: Mapped[Str100]
    sku: Mapped[str | None] = mapped_column(String(64), default=None)
    description: Mapped[LongText | None] = mapped_column(default=None)
    price: Mapped[Money] = mapped_column(default=Decimal(0))
    tax_rate: Mapped[Rate] = mapped_column(default=Decimal(0))
    stock: Mapped[int] = mapped_column(default=0)
    is_done: Mapped[bool] = mapped_column(default=False)

    @hybrid_property
    def price_with_tax(self) -> Decimal:
        return (self.price * (1 + self.tax_rate)).quantize(Decimal("0.01"), ROUND_HALF_UP)

    @price_with_tax.inplace.expression
    @classmethod
    def _price_with_tax(cls) -> ColumnElement[Decimal]:
        return WithTax(cls.price, cls.tax_rate)
