"""One-time tokens of mailed links."""

from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import ExpiringBase, enum_type, table_args


class Purpose(StrEnum):
    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"
    CHANGE_EMAIL = "change_email"


class OneTimeToken(ExpiringBase):
    """The SHA-256 of a mailed token; redeeming the token deletes the row.

    A user has one per purpose, the latest. `binding` is a hash of the account's state when the token was made; a
    change of that state voids the token. `email` is the new address, if the token confirms one.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = table_args(UniqueConstraint("digest"), Index(None, "user_id", "purpose", unique=True))

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[Purpose] = mapped_column(enum_type(Purpose, 32))
    digest: Mapped[str] = mapped_column(String(64), repr=False)
    binding: Mapped[str] = mapped_column(String(64), repr=False)
    email: Mapped[str | None] = mapped_column(String(320), default=None)
