"""How often a cached resource has changed."""

from sqlalchemy import BigInteger, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Str100, table_args


class Generation(Base):
    """Counts the writes to one resource, each in its own transaction; no row stands for none."""

    __tablename__ = "generations"
    __table_args__ = table_args(UniqueConstraint("resource"))

    resource: Mapped[Str100]
    # All writes to a resource count here, for as long as there is one.
    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), default=0)
