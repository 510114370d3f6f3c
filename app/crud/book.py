"""Books in the database."""

from sqlalchemy import or_

from app.crud.filters import Filter, contains, equals, where
from app.crud.generation import CachedCRUD
from app.crud.typed import UNSET, Insert, VersionedRow
from app.models.book import Book


class BookFilter(Filter):
    """`q` is looked for in title, author and isbn."""

    q: str | None = where(
        lambda text: or_(contains(Book.title, text), contains(Book.author, text), contains(Book.isbn, text))
    )
    author: str | None = equals(Book.author)
    release_year: int | None = equals(Book.release_year)


class BookRow(VersionedRow):
    title: str
    author: str
    release_year: int
    isbn: str | None


class BookInsert(Insert[Book]):
    title: str
    author: str
    release_year: int
    isbn: str | None = UNSET


books = CachedCRUD(
    Book,
    BookRow,
    "book",
    sorts={"created_at": Book.created_at, "author": Book.author, "release_year": Book.release_year},
)
