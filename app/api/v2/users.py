"""`/users` by cursor alone."""

from typing import Any

from app.api.deps import CursorPagingDep, ReadSessionDep
from app.api.errors import responses
from app.api.router import Router
from app.api.v1.users import FilterDep, UserReader, UserSort
from app.crud.user import users
from app.schemas.base import CursorPage
from app.schemas.user import UserRead

router = Router(prefix="/users", tag="users", responses=responses(401, 403))


@router.get("", response_model=CursorPage[UserRead], summary="List accounts by cursor")
async def list_v2(
    _: UserReader, filter_: FilterDep, paging: CursorPagingDep, session: ReadSessionDep, sort: UserSort = "id"
) -> dict[str, Any]:
    """As in v1, without offset and total."""
    return await paging.run(users, session, filter_, sort)
