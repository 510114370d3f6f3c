"""Generations of cached resources."""

from sqlalchemy import BigInteger, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Str100, table_args


class Generation(Base):
    """The number of writes to one cached resource; no row means none yet."""

    __tablename__ = "generations"
    __table_args__ = table_args(UniqueConstraint("resource"))

    resource: Mapped[Str100]
    # Every write to the resource increments it.
    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), default=0)
