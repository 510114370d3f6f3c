"""`/orders`: what users buy."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, status

from app.api.deps import (
    AdminUser,
    ConditionalDep,
    CreatedDep,
    ETagDep,
    PagingDep,
    ReadSessionDep,
    SessionDep,
)
from app.api.deps.idempotency import IdempotencyDep
from app.api.deps.paging import SORT
from app.api.errors import responses
from app.api.router import Router
from app.crud.order import OrderFilter, orders
from app.models.order import Order, OrderStatus
from app.schemas.base import Page
from app.schemas.order import OrderCreate, OrderRead, StatusName
from app.schemas.parameters import IdParameter
from app.services.auth.identity import Identity
from app.services.orders import cancel_order, pay_order, place_order

router = Router(prefix="/orders", tag="orders", about="What users buy.", responses=responses(401, 403))

OrderReader = Annotated[Identity, router.requires("orders:read", "See orders")]
OrderWriter = Annotated[Identity, router.requires("orders:write", "Place and cancel orders")]
OrderId = Annotated[IdParameter, Path(examples=[1001])]
OrderSort = Annotated[Literal["created_at", "-created_at"], SORT]


def visible(order: Order, me: Identity) -> Order:
    """Others' orders are not found, so that nobody learns which there are; administrators see all."""
    return orders.found(order if me.is_admin or order.buyer_id == me.user.id else None, order.id)


async def get_filter(
    me: OrderReader, status_: Annotated[StatusName | None, Query(alias="status")] = None
) -> OrderFilter:
    return OrderFilter(me.user.id, OrderStatus(status_) if status_ else None)


FilterDep = Annotated[OrderFilter, Depends(get_filter)]


@router.get("", response_model=Page[OrderRead], summary="List your orders")
async def list_orders(
    filter_: FilterDep, paging: PagingDep, session: ReadSessionDep, sort: OrderSort = "-created_at"
) -> dict[str, Any]:
    """Your own, the newest first."""
    return await paging.run(orders, session, filter_, sort)


@router.post(
    "",
    response_model=OrderRead,
    status_code=status.HTTP_201_CREATED,
    summary="Place an order",
    responses=responses(404, 409),
)
async def create_order(
    data: OrderCreate, me: OrderWriter, _: IdempotencyDep, session: SessionDep, created: CreatedDep
) -> Order:
    """All lines or none. 409: `insufficient_stock`, `item_closed` or `own_item`."""
    order = await place_order(session, me.user.id, {line.item_id: line.quantity for line in data.lines})
    created.at("read_order", order_id=order.id)
    return created.tag(order)


@router.get("/{order_id}", response_model=OrderRead, summary="See an order", responses=responses(304, 404))
async def read_order(order_id: OrderId, me: OrderReader, session: ReadSessionDep, conditional: ConditionalDep) -> Order:
    return conditional.tag(visible(await orders.get(session, order_id), me))


@router.post("/{order_id}/cancel", response_model=OrderRead, summary="Cancel an order", responses=responses(404, 409))
async def cancel(order_id: OrderId, me: OrderWriter, session: SessionDep, etag: ETagDep) -> Order:
    """What was placed and is not paid yet. The items are in stock again."""
    order = visible(await orders.get_for_update(session, order_id), me)
    return etag.tag(await cancel_order(session, order))


@router.post(
    "/{order_id}/pay", response_model=OrderRead, summary="Mark an order as paid", responses=responses(404, 409)
)
async def pay(order_id: OrderId, _: AdminUser, session: SessionDep, etag: ETagDep) -> Order:
    """For administrators, once the money has arrived."""
    return etag.tag(await pay_order(session, await orders.get_for_update(session, order_id)))
