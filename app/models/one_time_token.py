"""What a link in a mail is good for, once."""

from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import ExpiringBase, enum_type, table_args


class Purpose(StrEnum):
    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"
    CHANGE_EMAIL = "change_email"


class OneTimeToken(ExpiringBase):
    """The SHA-256 of a token that was mailed; redeeming it deletes the row.

    A user has one for each purpose, the one that was mailed last. `binding` is a hash of what the account was when
    the token was made: once that has changed the token is void. `email` is the new address where one is to be
    confirmed.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = table_args(UniqueConstraint("digest"), Index(None, "user_id", "purpose", unique=True))

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[Purpose] = mapped_column(enum_type(Purpose, 32))
    digest: Mapped[str] = mapped_column(String(64), repr=False)
    binding: Mapped[str] = mapped_column(String(64), repr=False)
    email: Mapped[str | None] = mapped_column(String(320), default=None)
