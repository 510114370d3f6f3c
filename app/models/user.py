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


# Imported accounts that have not signed in yet. As SQL text, so that the planner matches the partial index.
HAS_BCRYPT = text("substr(hashed_password, 1, 2) = '$2'")


IDEOGRAPHIC_FULL_STOP = "\u3002"
# Unicode's case folding for Turkic languages (CaseFolding.txt, status T).
DOTLESS_I = "\u0131"
TURKISH = str.maketrans({"I": DOTLESS_I, "\u0130": "i"})
# What `İ` becomes in all other languages.
DOTTED_I = "i\u0307"


def identity_key(name: str) -> str:
    """The canonical form by which names and addresses are compared: case-folded and normalized.

    The domain of an address is compared in Unicode, whether it was written so or in Punycode.
    """
    key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", strip_around(name)).casefold())
    local, at, domain = key.rpartition("@")
    if not at or (domain.isascii() and "xn--" not in domain):
        return key
    return f"{local}@{unicode_domain(domain).replace(IDEOGRAPHIC_FULL_STOP, '.').casefold()}"


def login_keys(login: str) -> list[str]:
    """The keys that a login may match, the likeliest first.

    A Turkish keyboard with auto-capitalization writes `İ` for i, and `I` for the letter without a dot.
    """
    turkish = login.translate(TURKISH)
    return list(dict.fromkeys((identity_key(login), identity_key(turkish))))


def attempts_key(login: str) -> str:
    """One key for all spellings of a login, so that other spellings give no additional guesses."""
    return identity_key(login.translate(TURKISH)).replace(DOTLESS_I, "i").replace(DOTTED_I, "i")


class User(Versioned, Base):
    """An account. `username_key` and `email_key` are derived from the name and the address, and are unique."""

    __tablename__ = "users"
    __table_args__ = table_args(
        UniqueConstraint("username_key"),
        UniqueConstraint("email_key"),
        # One index per sort order, and one for the few administrators among many users.
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
