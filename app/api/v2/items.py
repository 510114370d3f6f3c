"""`/items` by cursor alone."""

from typing import Any

from app.api.deps import CursorPagingDep, ReadSessionDep
from app.api.errors import responses
from app.api.router import Router
from app.api.v1.items.items import FilterDep, ItemSort
from app.crud.item import items
from app.schemas.base import CursorPage
from app.schemas.item import ItemRead

router = Router(prefix="/items", tag="items", responses=responses(401, 403))


@router.get("", response_model=CursorPage[ItemRead], summary="List items by cursor")
async def list_v2(
    filter_: FilterDep, paging: CursorPagingDep, session: ReadSessionDep, sort: ItemSort = "-created_at"
) -> dict[str, Any]:
    """As in v1, without offset and total."""
    return await paging.run(items, session, filter_, sort)
