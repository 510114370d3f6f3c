"""What was answered to requests that may come twice."""

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import ExpiringBase, LongText, table_args


class IdempotencyKey(ExpiringBase):
    """The answer to a user's request under a key of the client's, stored together with what the request did.

    `fingerprint` tells one body from another without giving away what was in it.
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
