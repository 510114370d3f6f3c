"""Orders: stock is never oversold, whatever the concurrency."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from app.core.db.session import WriteSession
from app.core.errors import ConflictError, NotFoundError
from app.crud.item import ItemForSale, items
from app.crud.order import orders
from app.models.order import Order, OrderLine, OrderStatus

CENT = Decimal("0.01")


class ItemClosedError(ConflictError):
    code = "item_closed"


class OwnItemError(ConflictError):
    code = "own_item"


class InsufficientStockError(ConflictError):
    code = "insufficient_stock"


class NotCancellableError(ConflictError):
    code = "not_cancellable"


class NotPayableError(ConflictError):
    code = "not_payable"


async def place_order(session: WriteSession, buyer_id: int, quantities: Mapping[int, int]) -> Order:
    """Order the quantities by item id, at current prices.

    The items stay locked until the transaction ends. One statement locks them in id order, as every statement that
    locks several items must, so that there are no deadlocks.

    Raises:
        NotFoundError (`item_not_found`), OwnItemError, ItemClosedError, InsufficientStockError: nothing was changed.
    """
    found = {item.id: item for item in await items.lock_for_sale(session, quantities)}
    for id_ in sorted(quantities):
        check(found.get(id_), id_, buyer_id, quantities[id_])
    await items.add_stock(session, {id_: -quantity for id_, quantity in quantities.items()})
    lines = [line_of(found[id_], quantity) for id_, quantity in quantities.items()]
    total = sum((line.total for line in lines), Decimal(0))
    order = Order(buyer_id=buyer_id, total=total, lines=lines)
    session.add(order)
    await orders.flush(session)
    return order


def check(item: ItemForSale | None, id_: int, buyer_id: int, quantity: int) -> None:
    if item is None:
        raise NotFoundError(f"There is no item with id {id_}.", code="item_not_found")
    if item.owner_id == buyer_id:
        raise OwnItemError(f"Item {id_} is your own.")
    if item.is_done:
        raise ItemClosedError(f"Item {id_} is no longer for sale.")
    if item.stock < quantity:
        raise InsufficientStockError(f"Of item {id_} there are {item.stock} left.")


def line_of(item: ItemForSale, quantity: int) -> OrderLine:
    return OrderLine(
        item_id=item.id,
        title=item.title,
        unit_price=item.price,
        tax_rate=item.tax_rate,
        quantity=quantity,
        total=(item.price * (1 + item.tax_rate) * quantity).quantize(CENT, ROUND_HALF_UP),
    )


async def cancel_order(session: WriteSession, order: Order) -> Order:
    """Cancel an order and return its stock. The caller holds the order's lock, so that this happens once.

    Raises:
        NotCancellableError: it is cancelled or paid already.
    """
    if order.status is not OrderStatus.PLACED:
        raise NotCancellableError(f"The order is {order.status}.")
    returned = {line.item_id: line.quantity for line in order.lines if line.item_id is not None}
    await items.lock_for_sale(session, returned)
    await items.add_stock(session, returned)
    order.status = OrderStatus.CANCELLED
    await orders.flush(session)
    return order


async def pay_order(session: WriteSession, order: Order) -> Order:
    """Raises NotPayableError: it is paid already, or cancelled."""
    if order.status is not OrderStatus.PLACED:
        raise NotPayableError(f"The order is {order.status}.")
    order.status = OrderStatus.PAID
    await orders.flush(session)
    return order
