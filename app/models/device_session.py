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
    """One signed-in device: its tokens are valid as long as the row exists.

    Tokens name the row by id and by `key`, since a restored database reuses ids for other people. The key is not a
    secret; the signature keeps others from making tokens.

    `rotation` counts the refresh tokens issued. Token n is a signature over (id, n, rotated_at), so nothing of it is
    stored, and the newest can be issued again during the grace period.
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
    # Where the last refresh came from, and how often an older token came from elsewhere within the grace period.
    rotated_ip: Mapped[LongText | None] = mapped_column(default=None)
    rotated_user_agent: Mapped[LongText | None] = mapped_column(default=None)
    foreign_uses: Mapped[int] = mapped_column(default=0)
