"""Query parameters of lists, and the responses that show a page."""

from typing import Annotated, Any

from fastapi import Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps.app_services import app_services_of
from app.core.errors import UnprocessableError
from app.core.security.cursors import CursorSigner
from app.crud.filters import Filter
from app.crud.lists import ListCRUD
from app.crud.page import PageQuery, PageRows
from app.schemas.parameters import FlagQuery, LimitQuery, SkipQuery

# Stands beside the names by which a list can be sorted.
SORT = Query(description="By what, and with `-` before it in descending order.")
Limit = Annotated[LimitQuery, Query()]
CursorQuery = Annotated[
    str | None, Query(max_length=1000, description="`next_cursor` of the page before, same filters and sort.")
]


class CursorPaging:
    """`/api/v2`: a page begins where the one before ended."""

    def __init__(self, path: str, cursors: CursorSigner, limit: int, cursor: str | None) -> None:
        self.path = path
        self.cursors = cursors
        self.limit = limit
        self.cursor = cursor

    def query(self, sort: str, filter_: object = None) -> PageQuery:
        """Raises UnprocessableError (`invalid_cursor`) on a cursor that was not made for this list."""
        return PageQuery(sort, self.limit, after=self.after(sort, filter_), include_total=False)

    def page(self, found: PageRows[Any], sort: str, filter_: object = None) -> dict[str, Any]:
        """The body of the response, as `CursorPage[T]` describes it."""
        return {
            "data": found.rows,
            "meta": {"next_cursor": self.next_cursor(found, sort, filter_), "limit": self.limit},
        }

    async def run(
        self, crud: ListCRUD[Any, Any], session: AsyncSession, filter_: Filter | None, sort: str
    ) -> dict[str, Any]:
        """The body of the response: what the filter leaves of a list, by its sort."""
        return self.page(await crud.page(session, self.query(sort, filter_), filter_), sort, filter_)

    def after(self, sort: str, filter_: object) -> list[Any] | None:
        if self.cursor is None:
            return None
        after = self.cursors.read(self.cursor, self.belongs_to(sort, filter_))
        if after is None:
            raise InvalidCursorError
        return after

    def next_cursor(self, found: PageRows[Any], sort: str, filter_: object) -> str | None:
        if found.next_after is None:
            return None
        return self.cursors.sign(found.next_after, self.belongs_to(sort, filter_))

    def belongs_to(self, sort: str, filter_: object) -> str:
        return f"{self.path} {sort} {filter_!r}"


class Paging(CursorPaging):
    """`/api/v1`: by offset or by cursor, with a total."""

    def __init__(
        self, path: str, cursors: CursorSigner, limit: int, cursor: str | None, skip: int, include_total: bool
    ) -> None:
        super().__init__(path, cursors, limit, cursor)
        self.skip = skip
        self.include_total = include_total

    def query(self, sort: str, filter_: object = None) -> PageQuery:
        """Raises UnprocessableError (`invalid_cursor`) on a cursor that was not made for this list, or with `skip`."""
        after = self.after(sort, filter_)
        if after is not None and self.skip:
            raise InvalidCursorError
        return PageQuery(sort, self.limit, self.skip, after, self.include_total)

    def page(self, found: PageRows[Any], sort: str, filter_: object = None) -> dict[str, Any]:
        """The body of the response, as `Page[T]` describes it."""
        return {
            "items": found.rows,
            "total": found.total,
            "skip": self.skip,
            "limit": self.limit,
            "next_cursor": self.next_cursor(found, sort, filter_),
        }


class InvalidCursorError(UnprocessableError):
    code = "invalid_cursor"
    detail = "`cursor` must be a `next_cursor` of this list, with the same filters and sort and without `skip`."


async def get_cursor_paging(request: Request, limit: Limit = 20, cursor: CursorQuery = None) -> CursorPaging:
    return CursorPaging(request.scope["path"], app_services_of(request).cursors, limit, cursor)


async def get_paging(
    request: Request,
    skip: Annotated[SkipQuery, Query()] = 0,
    limit: Limit = 20,
    cursor: CursorQuery = None,
    include_total: Annotated[FlagQuery, Query(description="`false` saves the count; `total` is then null.")] = True,
) -> Paging:
    return Paging(request.scope["path"], app_services_of(request).cursors, limit, cursor, skip, include_total)


PagingDep = Annotated[Paging, Depends(get_paging)]
CursorPagingDep = Annotated[CursorPaging, Depends(get_cursor_paging)]
