"""Signed-in devices."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import ExpiringBase, LongText, table_args


class Session(ExpiringBase):
    """One device of one user: its row is what keeps its tokens valid, and deleting it ends them at once.

    `rotation` counts the refresh tokens handed out. Token n is a signature over (id, n, rotated_at),
    so that nothing of it needs to be stored, and the newest can be made again during the grace time.
    """

    __tablename__ = "sessions"
    __table_args__ = table_args()

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    scope: Mapped[LongText]
    rotated_at: Mapped[datetime]
    rotation: Mapped[int] = mapped_column(default=0)
    ip: Mapped[LongText | None] = mapped_column(default=None)
    user_agent: Mapped[LongText | None] = mapped_column(default=None)
