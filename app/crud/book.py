"""Books in the database."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.prepared import Row
from app.crud.generation import CachedCRUD
from app.crud.page import PageQuery, PageRows, contains, equal
from app.models.book import Book


@dataclass(frozen=True, slots=True)
class BookFilter:
    """None filters nothing. `q` is looked for in title, author and isbn."""

    q: str | None = None
    author: str | None = None
    release_year: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        conditions = equal((Book.author, self.author), (Book.release_year, self.release_year))
        if self.q is not None:
            columns = (Book.title, Book.author, Book.isbn)
            conditions.append(or_(*(contains(column, self.q) for column in columns)))
        return conditions


class BookCRUD(CachedCRUD[Book]):
    async def search(self, session: AsyncSession, query: PageQuery, filter_: BookFilter) -> PageRows[Row]:
        return await self.page(session, query, filter_)


books = BookCRUD(
    Book,
    "book",
    sorts={"created_at": Book.created_at, "author": Book.author, "release_year": Book.release_year},
)
