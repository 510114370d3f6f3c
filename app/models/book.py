"""Books."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Str255, Versioned, table_args


class Book(Versioned, Base):
    """A book, managed by administrators."""

    __tablename__ = "books"
    __table_args__ = table_args(
        # One index per sort order of the list.
        Index(None, "created_at", "id"),
        Index(None, "author", "id"),
        Index(None, "release_year", "id"),
        is_cached=True,
    )

    title: Mapped[Str255]
    author: Mapped[Str255]
    release_year: Mapped[int]
    isbn: Mapped[Str255 | None] = mapped_column(default=None)
