"""`/orders` by cursor alone."""

from typing import Any

from app.api.deps import CursorPagingDep, ReadSessionDep
from app.api.errors import responses
from app.api.router import Router
from app.api.v1.orders import FilterDep, OrderSort
from app.crud.order import orders
from app.schemas.base import CursorPage
from app.schemas.order import OrderRead

router = Router(prefix="/orders", tag="orders", responses=responses(401, 403))


@router.get("", response_model=CursorPage[OrderRead], summary="List your orders by cursor")
async def list_v2(
    filter_: FilterDep, paging: CursorPagingDep, session: ReadSessionDep, sort: OrderSort = "-created_at"
) -> dict[str, Any]:
    """As in v1, without offset and total."""
    return await paging.run(orders, session, filter_, sort)
