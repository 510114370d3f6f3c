"""Stored responses of requests with an `Idempotency-Key`."""

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import ExpiringBase, LongText, table_args


class IdempotencyKey(ExpiringBase):
    """A stored response, keyed by user and client key; written in the transaction of the request.

    `fingerprint` is a hash of the request body.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = table_args(UniqueConstraint("user_id", "operation", "key"))

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    operation: Mapped[str] = mapped_column(String(255))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None] = mapped_column(default=None)
    headers: Mapped[LongText | None] = mapped_column(default=None, repr=False)
    body: Mapped[LongText | None] = mapped_column(default=None, repr=False)
