"""Rows that others than their owner do not see, looked up as a reader may see them."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import NotFoundError
from app.crud.item import items
from app.crud.order import orders
from tests.factories import Factory


async def test_somebody_elses_row_is_refused_in_the_words_for_one_that_is_not_there(
    make: Factory, session: AsyncSession
) -> None:
    alice, bob = await make.user(), await make.user()
    order = await make.order(alice)
    assert (await orders.get_visible(session, order.id, alice.id)).id == order.id
    with pytest.raises(NotFoundError) as theirs:
        await orders.get_visible(session, order.id, bob.id)
    with pytest.raises(NotFoundError) as missing:
        await orders.get_visible(session, 999_999, bob.id)
    assert (theirs.value.code, missing.value.code) == ("order_not_found",) * 2
    assert theirs.value.detail.replace(str(order.id), "…") == missing.value.detail.replace("999999", "…")


async def test_none_sees_all(make: Factory, session: AsyncSession) -> None:
    order = await make.order(await make.user())
    assert (await orders.get_visible(session, order.id, None)).id == order.id


async def test_the_owner_is_a_column_that_the_class_names(make: Factory, session: AsyncSession) -> None:
    alice, bob = await make.user(), await make.user()
    item = await make.item(alice)
    assert (await items.get_visible(session, item.id, alice.id)).id == item.id
    with pytest.raises(NotFoundError):
        await items.get_visible(session, item.id, bob.id)
