"""People who sign in."""

import unicodedata
from enum import StrEnum

from sqlalchemy import Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, validates

from app.core.security.domains import unicode_domain
from app.core.security.invisible import strip_around
from app.models.base import Base, Str255, Versioned, enum_type, table_args


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


# Imported accounts that have not signed in yet. As text: only so do the databases know the index by the condition.
HAS_BCRYPT = text("substr(hashed_password, 1, 2) = '$2'")


IDEOGRAPHIC_FULL_STOP = "\u3002"
# Unicode's case folding for Turkic languages (CaseFolding.txt, status T).
DOTLESS_I = "\u0131"
TURKISH = str.maketrans({"I": DOTLESS_I, "\u0130": "i"})
# What the capital with a dot becomes in all other languages.
DOTTED_I = "i\u0307"


def identity_key(name: str) -> str:
    """What makes two names or addresses the same: neither letter case nor Unicode's other spellings count.

    Nor does the way in which the domain of an address is written, in Unicode or as mail servers read it.
    """
    key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", strip_around(name)).casefold())
    local, at, domain = key.rpartition("@")
    if not at or (domain.isascii() and "xn--" not in domain):
        return key
    return f"{local}@{unicode_domain(domain).replace(IDEOGRAPHIC_FULL_STOP, '.').casefold()}"


def login_keys(login: str) -> list[str]:
    """The keys by which an account may be meant, the likeliest first.

    A Turkish keyboard, which begins words with capitals by itself, has a dotted one for i, and the one that others
    have for i for the letter without a dot.
    """
    turkish = login.translate(TURKISH)
    return list(dict.fromkeys((identity_key(login), identity_key(turkish))))


def guess_key(login: str) -> str:
    """One for all logins by which an account may be meant: whoever guesses has no more tries by other spellings."""
    return identity_key(login.translate(TURKISH)).replace(DOTLESS_I, "i").replace(DOTTED_I, "i")


class User(Versioned, Base):
    """An account. `username_key` and `email_key` follow the name and the address and are what is unique."""

    __tablename__ = "users"
    __table_args__ = table_args(
        UniqueConstraint("username_key"),
        UniqueConstraint("email_key"),
        # The orders a list can have, and the few administrators among many users.
        Index(None, "created_at", "id"),
        Index(None, "username", "id"),
        Index(None, "role", "id"),
        Index("ix_users_bcrypt", "hashed_password", sqlite_where=HAS_BCRYPT, postgresql_where=HAS_BCRYPT),
        needs_orm_events=True,
    )

    username: Mapped[Str255]
    username_key: Mapped[Str255] = mapped_column(init=False)
    email: Mapped[str] = mapped_column(String(320))
    email_key: Mapped[str] = mapped_column(String(320), init=False)
    hashed_password: Mapped[Str255] = mapped_column(repr=False)
    full_name: Mapped[Str255 | None] = mapped_column(default=None)
    role: Mapped[Role] = mapped_column(enum_type(Role, 16), default=Role.USER)
    is_active: Mapped[bool] = mapped_column(default=True)
    is_verified: Mapped[bool] = mapped_column(default=False)

    @validates("username", "email")
    def set_key(self, name: str, value: str) -> str:
        setattr(self, f"{name}_key", identity_key(value))
        return value
