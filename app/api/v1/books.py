"""`/books`: books for everyone to read, and for administrators to change."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Response, status
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import CachedDep, CreatedDep, ETagDep, IfMatchDep, PagingDep, SessionDep
from app.api.deps.idempotency import IdempotencyDep
from app.api.deps.paging import SORT
from app.api.errors import responses
from app.api.router import Router
from app.crud.book import BookFilter, BookInsert, BookRow, books
from app.crud.guard import Guard
from app.schemas.base import Page
from app.schemas.book import Author, BookCreate, BookRead, BookReplace, BookUpdate
from app.schemas.parameters import IdParameter, Int32Query, SearchQuery
from app.services.auth.identity import Identity

router = Router(prefix="/books", tag="books", about="Books.")

BookReader = Annotated[Identity, router.requires("books:read", "See books")]
BookWriter = Annotated[Identity, router.requires("books:write", "Create, change and delete books", admin_only=True)]
BookId = Annotated[IdParameter, Path(examples=[42])]
BookSort = Annotated[Literal["created_at", "-created_at", "author", "-author", "release_year", "-release_year"], SORT]


async def get_filter(
    q: Annotated[SearchQuery | None, Query(description="Text in title, author or isbn.")] = None,
    author: Annotated[Author | None, Query()] = None,
    release_year: Annotated[Int32Query | None, Query()] = None,
) -> BookFilter:
    return BookFilter(q, author, release_year)


async def get_guard(_: BookWriter, if_match: IfMatchDep) -> Guard:
    return Guard(versions=if_match.versions)


FilterDep = Annotated[BookFilter, Depends(get_filter)]
GuardDep = Annotated[Guard, Depends(get_guard)]


@router.get("", response_model=Page[BookRead], summary="List books", responses=responses(304))
async def list_books(
    filter_: FilterDep, paging: PagingDep, cached: CachedDep, sort: BookSort = "-created_at"
) -> Response:
    """The newest first; filters narrow it. For everyone, without a token."""

    async def load(session: AsyncSession) -> dict[str, Any]:
        return await paging.run(books, session, filter_, sort)

    return await cached.page(books, Page[BookRead], load)


@router.post(
    "",
    response_model=BookRead,
    status_code=status.HTTP_201_CREATED,
    summary="Create a book",
    responses=responses(401, 403, 409),
)
async def create_book(
    data: BookCreate, _: BookWriter, __: IdempotencyDep, session: SessionDep, created: CreatedDep
) -> BookRow:
    book = await books.insert(session, BookInsert(**data.model_dump()))
    created.at("read_book", book_id=book.id)
    return created.tag(book)


@router.get("/{book_id}", response_model=BookRead, summary="See a book", responses=responses(304, 404))
async def read_book(book_id: BookId, cached: CachedDep) -> Response:
    """For everyone, without a token."""

    async def load(session: AsyncSession) -> BookRow:
        return await books.read_row(session, book_id)

    return await cached.one(books, BookRead, load)


@router.put(
    "/{book_id}", response_model=BookRead, summary="Replace a book", responses=responses(401, 403, 404, 409, 412)
)
async def replace_book(
    book_id: BookId, data: BookReplace, guard: GuardDep, session: SessionDep, etag: ETagDep
) -> BookRow:
    """What the body leaves out goes back to its default."""
    return etag.tag(await books.update_row(session, book_id, guard, **data.model_dump()))


@router.patch(
    "/{book_id}", response_model=BookRead, summary="Change a book", responses=responses(401, 403, 404, 409, 412)
)
async def update_book(
    book_id: BookId, data: BookUpdate, guard: GuardDep, session: SessionDep, etag: ETagDep
) -> BookRow:
    """Changes what the body names; `null` clears."""
    return etag.tag(await books.update_row(session, book_id, guard, **data.model_dump()))


@router.delete(
    "/{book_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a book",
    responses=responses(401, 403, 404, 412),
)
async def delete_book(book_id: BookId, guard: GuardDep, session: SessionDep) -> None:
    await books.delete_row(session, book_id, guard)
