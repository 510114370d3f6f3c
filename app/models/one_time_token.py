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
    """The SHA-256 of a mailed token and a keyed digest of its code; redeeming either deletes the row.

    A user has one per purpose, the latest. `binding` is a hash of the account's state when the token was made; a
    change of that state voids the token. `email` is the new address, if the token confirms one. `address_key` is the
    `identity_key` of the mailbox. Once MAX_WRONG_CODES were tried neither token nor code work.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = table_args(UniqueConstraint("digest"), Index(None, "user_id", "purpose", unique=True))

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[Purpose] = mapped_column(enum_type(Purpose, 32))
    digest: Mapped[str] = mapped_column(String(64), repr=False)
    binding: Mapped[str] = mapped_column(String(64), repr=False)
    email: Mapped[str | None] = mapped_column(String(320), default=None)
    address_key: Mapped[str | None] = mapped_column(String(320), default=None, index=True)
    code_digest: Mapped[str | None] = mapped_column(String(64), default=None, repr=False)
    wrong_codes: Mapped[int] = mapped_column(default=0, server_default="0")
