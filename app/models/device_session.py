"""Signed-in devices."""

import secrets
from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import ExpiringBase, LongText, table_args


def random_key() -> str:
    """128 bits in hexadecimal."""
    return secrets.token_hex(16)


class DeviceSession(ExpiringBase):
    """One device of one user: its row is what keeps its tokens valid, and deleting it ends them at once.

    Tokens name the row by its id and by `key`: a database that was restored gives ids again, to other people.
    The key is no secret; that nobody else makes a token with it is what the signature is for.

    `rotation` counts the refresh tokens handed out. Token n is a signature over (id, n, rotated_at),
    so that nothing of it needs to be stored, and the newest can be made again during the grace time.
    """

    __tablename__ = "sessions"
    __table_args__ = table_args(needs_orm_events=True)

    key: Mapped[str] = mapped_column(String(32), init=False, insert_default=random_key)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    scope: Mapped[LongText]
    rotated_at: Mapped[datetime]
    rotation: Mapped[int] = mapped_column(default=0)
    ip: Mapped[LongText | None] = mapped_column(default=None)
    user_agent: Mapped[LongText | None] = mapped_column(default=None)
    # Whence the newest token was asked for, and how often an older one came from elsewhere within the grace time.
    rotated_ip: Mapped[LongText | None] = mapped_column(default=None)
    rotated_user_agent: Mapped[LongText | None] = mapped_column(default=None)
    foreign_uses: Mapped[int] = mapped_column(default=0)
