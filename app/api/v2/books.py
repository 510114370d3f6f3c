"""`/books` by cursor alone."""

from typing import Any

from fastapi import Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import CachedDep, CursorPagingDep
from app.api.errors import responses
from app.api.router import Router
from app.api.v1.books import BookSort, FilterDep
from app.crud.book import books
from app.schemas.base import CursorPage
from app.schemas.book import BookRead

router = Router(prefix="/books", tag="books")


@router.get("", response_model=CursorPage[BookRead], summary="List books by cursor", responses=responses(304))
async def list_v2(
    filter_: FilterDep, paging: CursorPagingDep, cached: CachedDep, sort: BookSort = "-created_at"
) -> Response:
    """As in v1, without offset and total."""

    async def load(session: AsyncSession) -> dict[str, Any]:
        return await paging.run(books, session, filter_, sort)

    return await cached.page(books, CursorPage[BookRead], load)
